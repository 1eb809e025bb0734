"""Defines what `make bench` measures under which load, and the targets for it. Leaves output to `report/`."""
