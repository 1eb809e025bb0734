"""Defines and checks everything that a caller may configure. Leaves connections to `_connection`."""
