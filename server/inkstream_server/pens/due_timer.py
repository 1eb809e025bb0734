"""Calls a pen's driver when the pen is due. Knows the event loop's time, and nothing of ink."""

from collections.abc import Callable

from inkstream_server.clock import Clock, Timer

_NEVER = float("inf")


class DueTimer:
    """One pen's timer: at most one call is pending."""

    __slots__ = ("_at", "_call", "_callback", "_clock", "_pen")

    def __init__(self, clock: Clock, callback: Callable[[int], None], pen: int) -> None:
        """Wait for a first `set`.

        Args:
            clock: calls back; the event loop's or a test's.
            callback: called with the pen when it may be due. It calls `set` again.
            pen: the caller's number of the pen.
        """
        self._pen = pen
        self._clock = clock
        self._callback = callback
        self._call: Timer | None = None
        self._at = _NEVER

    def set(self, due: float | None) -> None:
        """Call back at `due`, in seconds of the clock, or earlier; None for no need to.

        A call that is pending for an earlier time stays. A pen that writes moves its due time with every
        packet: to come too early now and then costs less than to set a timer each time.
        """
        if due is not None and due < self._at:
            self.cancel()
            self._at = due
            self._call = self._clock.call_at(due, self._ring)

    def cancel(self) -> None:
        """Drop the pending call, if there is one."""
        if self._call is not None:
            self._call.cancel()
            self._call, self._at = None, _NEVER

    def _ring(self) -> None:
        self._call, self._at = None, _NEVER
        self._callback(self._pen)
