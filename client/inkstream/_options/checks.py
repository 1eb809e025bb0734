"""Refuses numbers that are none, or out of range, by the name of the option."""

from __future__ import annotations

from operator import index
from typing import Any

from inkstream._exceptions import InvalidRequest

_LONGEST_DEADLINE = 4_000_000
"""Seconds; the contract counts milliseconds in 32 bits."""


def require_whole(name: str, value: Any, least: int, most: int | None, unit: str = "") -> None:
    """Take a whole number in a range; `most` is None where there is no other bound than memory.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        is_good = not isinstance(value, bool) and least <= index(value)
        is_good = is_good and (most is None or value <= most)
    except TypeError:
        is_good = False
    if not is_good:
        extent = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise InvalidRequest(f"{name}: expected a whole number {extent}{unit}, got {value!r}")


def require_number(name: str, value: Any, least: float, most: float, unit: str = "") -> None:
    """Take a number in a range.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        is_good = bool(not isinstance(value, bool) and least <= value <= most)
    except (TypeError, ValueError):
        is_good = False
    if not is_good:
        raise InvalidRequest(
            f"{name}: expected a number from {least:g} to {most:g}{unit}, got {value!r}"
        )


def require_deadline(deadline: float) -> None:
    """Take the seconds that an item may take.

    Raises:
        InvalidRequest: it is no number, not above 0, or more than the contract can say.
    """
    try:
        is_good = bool(0 < deadline <= _LONGEST_DEADLINE)
    except (TypeError, ValueError):
        is_good = False
    if not is_good:
        raise InvalidRequest(
            f"deadline: expected seconds above 0 and up to {_LONGEST_DEADLINE:,}, or None for no limit, "
            f"got {deadline!r}"
        )
