"""Checks numbers. The message of an error names the option, what came and what is expected."""

from __future__ import annotations

import math
from operator import index
from typing import Any

from inkstream._exceptions import InvalidRequest

_LONGEST_DEADLINE = 4_000_000
"""Seconds; the contract counts milliseconds in 32 bits."""


def require_number(
    name: str, value: Any, least: float, most: float = math.inf, unit: str = "", whole: bool = False
) -> None:
    """Require a number, or a whole number, from `least` to `most`.

    Raises:
        InvalidRequest: the value is no such number.
    """
    if not _is_number(value, least, most, whole):
        extent = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        kind = "whole number" if whole else "number"
        raise InvalidRequest(f"{name}: expected a {kind} {extent}{unit}, got {value!r}")


def require_deadline(deadline: float | None) -> None:
    """Require None, or a number of seconds that the contract can express.

    Raises:
        InvalidRequest: the value is no such number.
    """
    if deadline is not None and not (_is_number(deadline, 0, _LONGEST_DEADLINE) and deadline > 0):
        raise InvalidRequest(
            f"deadline: expected seconds above 0 and up to {_LONGEST_DEADLINE:,}, or None for no limit, "
            f"got {deadline!r}"
        )


def _is_number(value: Any, least: float, most: float, whole: bool = False) -> bool:
    try:
        is_within = not isinstance(value, bool) and bool(least <= value <= most)
        return is_within and (not whole or index(value) == value)
    except (TypeError, ValueError):
        return False
