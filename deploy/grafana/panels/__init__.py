"""Defines the panels of each dashboard, one module per dashboard.

Leaves writing Grafana's JSON to `generate.py`.
"""

from panels.devices import DEVICES
from panels.ink import INK
from panels.model import MODEL
from panels.service import SERVICE

DASHBOARDS = {"service": SERVICE, "ink": INK, "model": MODEL, "devices": DEVICES}
"""Rows of panels, by the name of the dashboard."""
