"""Defines what callers get back for images and for ink. Leaves to other rooms how messages arrive."""
