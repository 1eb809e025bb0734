"""Translates between messages and arrays, in both directions.

Leaves decisions and state to `streams`, `pens` and `batching`.
"""
