"""Spells numbers for text formats: without loss, whole ones without a fraction."""

from __future__ import annotations


def spelled(value: float) -> str:
    """Give the shortest numeral that reads as `value` again."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
