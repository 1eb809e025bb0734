"""Defines what callers get back for images and for ink.

Reads messages and knows nothing of how they came.
"""
