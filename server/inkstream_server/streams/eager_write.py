"""Begins a coroutine in place, where a task would begin it a turn of the event loop later."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


class EagerWrite:
    """A coroutine that has run until it had to wait. Nobody is woken when it could go on: ask `settle`.

    For a write to a fast peer, which is as good as done when it is begun: this saves the wake-up of a task
    at the beginning and another at the end.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` as far as it goes; raises what it raises."""
        self._coroutine = coroutine
        self._waits_for: asyncio.Future[Any] | None = None
        self._is_over = False
        self._go_on()

    def settle(self) -> bool:
        """Go on if that is possible without waiting; tells whether the coroutine is over.

        Raises: what it raises, once.
        """
        while not self._is_over and (self._waits_for is None or self._waits_for.done()):
            self._go_on()
        return self._is_over

    async def rest(self) -> None:
        """Wait until it is over. Cancelling this leaves it where it is.

        Raises: what it raises, once.
        """
        while not self.settle():
            assert self._waits_for is not None
            await asyncio.wait([self._waits_for])

    def close(self) -> None:
        """Let it come to its end if that takes no waiting, else give it up where it waits.

        A write that is done but given up would leave its buffer behind for ever (grpc#43360).
        """
        with suppress(Exception, asyncio.CancelledError):  # Nobody is there to be told.
            if self.settle():
                return
        self._is_over = True
        self._coroutine.close()
        if self._waits_for is not None:
            # Nobody else looks at what it waited for; unread, a failure of it would be logged.
            self._waits_for.add_done_callback(_read)

    def _go_on(self) -> None:
        try:
            # What a coroutine yields to its task is the future that it waits for.
            self._waits_for = self._coroutine.send(None)
        except StopIteration:
            self._is_over = True
        except BaseException:
            self._is_over = True
            raise


def _read(waited_for: asyncio.Future[Any]) -> None:
    if not waited_for.cancelled():
        waited_for.exception()
