"""Translates between messages and arrays, in both directions.

Decides nothing and keeps no state.
"""
