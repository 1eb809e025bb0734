"""Counts what the pens of a stream hold, in bytes, and refuses more than they may.

Sizes are CPython's on 64 bits, rounded up; tests compare them with what `tracemalloc` finds.
"""

from inkstream_server.limits.memory_book import Account
from inkstream_server.pens.faults import NO_ROOM_MS, InkFault
from inkstream_server.pens.limits import PenLimits


class InkMemory:
    """What the pens of one stream may hold together."""

    __slots__ = ("_limits", "account", "pens")

    def __init__(self, account: Account, limits: PenLimits) -> None:
        """Start without pens.

        Args:
            account: the stream's.
            limits: the server's.
        """
        self._limits = limits
        self.account = account
        self.pens = 0
        """Pens that are open."""

    @property
    def remembered_strokes(self) -> int:
        """How many strokes with a final answer each pen may remember: pens share them evenly."""
        limits = self._limits
        return min(limits.remembered_strokes, limits.remembered_by_stream // max(1, self.pens))

    def require(self, size: int, field: str, *, stroke: int = 0) -> None:
        """Make sure that the pens may hold `size` bytes more.

        Args:
            size: bytes.
            field: the field that asks for them, as in `InkFault`.
            stroke: the caller's number of the stroke, 0 for none.

        Raises:
            InkFault: they may not.
        """
        account = self.account
        held, most = account.kinds["ink"], account.usable
        if held + size > most:
            wrong = (
                f"the pens of a stream may take {most} bytes of the server's memory, and take {held}: "
                "end digits or close pens first"
            )
        elif size > account.room:
            wrong = (
                "the server has no memory left for more ink: end digits or close pens, or try later"
            )
        else:
            return
        raise InkFault(field, wrong, stroke=stroke, retry_after_ms=NO_ROOM_MS)


class Held:
    """A part of a pen. An account counts its bytes for as long as it lives, whatever refers to it."""

    __slots__ = ("_account", "_bytes")

    def __init__(self, account: Account, size: int) -> None:
        """Count `size` bytes."""
        self._account = account
        self._bytes = size
        account.hold("ink", size)

    def _resize(self, size: int) -> None:
        """Count `size` bytes instead."""
        self._account.hold("ink", size - self._bytes)
        self._bytes = size

    def __del__(self) -> None:
        self._account.hold("ink", -self._bytes)
