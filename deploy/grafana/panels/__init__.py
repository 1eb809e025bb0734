"""What the dashboards show: a module a dashboard."""

from panels.devices import DEVICES
from panels.ink import INK
from panels.model import MODEL
from panels.service import SERVICE

DASHBOARDS = {"service": SERVICE, "ink": INK, "model": MODEL, "devices": DEVICES}
"""Rows of panels, by the name of the dashboard."""
