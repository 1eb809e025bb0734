"""Defines the cases of `make bench`, their load and their targets. Leaves output to `report/`."""
