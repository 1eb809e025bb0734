"""Starts a write in place, where a task would start it one turn of the event loop later."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


class EagerWrite:
    """A coroutine that has run until it had to wait, and that only its owner's calls move on.

    For a write to a fast peer, which is done, or as good as done, when it has started. It saves two wake-ups
    of a task, one at the start and one at the end.

    How it works: a task drives a coroutine by `send(None)`, and gets the future that the coroutine waits
    for; when the future is done, the task's wake-up calls `send(None)` again. Here the constructor makes the
    first call, and `settle` makes the others, if the future is done by then.

    What must hold, and why:

    * **No wake-up.** Nothing resumes the coroutine when its future is done. So the owner calls `settle`
      before it needs the result, and `rest` when it cannot go on without it. Until then the message is on
      its way all the same: gRPC's core sends it, and only Python code behind the wait has not run.
    * **Only futures.** The coroutine may wait for futures of the running loop, or yield None as
      `asyncio.sleep(0)` does. A None counts as done.
    * **No task of its own.** The coroutine runs in the task that calls, and in its context. So it must not
      use `asyncio.timeout`, a `TaskGroup`, or anything else that cancels `asyncio.current_task()`.
    * **Cancelling is safe.** `rest` waits by `asyncio.wait`, which does not cancel the future when it is
      cancelled itself. The next `settle` or `rest` goes on from there.
    * **Errors once.** What the coroutine raises goes to the call that drove it there: the constructor,
      `settle` or `rest`. After that it is over, and `settle` returns True.
    * **One at a time.** The owner starts no other write before this one is over: gRPC takes one write of a
      stream at a time.
    * **An end in any case.** The owner calls `close` when it gives the stream up. If the future is done, the
      coroutine must run on: gRPC frees a write's buffer in the lines behind the wait (grpc#43360). If not,
      the coroutine is closed where it waits, and the failure of the future is read later.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` as far as it goes; raises what it raises."""
        self._coroutine = coroutine
        self._waits_for: asyncio.Future[Any] | None = None
        self._is_over = False
        self._go_on()

    def settle(self) -> bool:
        """Run the coroutine on, as far as it goes without waiting; give whether it is over.

        Raises: what the coroutine raises, once.
        """
        while not self._is_over and (self._waits_for is None or self._waits_for.done()):
            self._go_on()
        return self._is_over

    async def rest(self) -> None:
        """Wait until the coroutine is over. Cancelling leaves the coroutine where it waits.

        Raises: what the coroutine raises, once.
        """
        while not self.settle():
            assert self._waits_for is not None
            await asyncio.wait([self._waits_for])

    def close(self) -> None:
        """End the coroutine: run it on if that takes no waiting, else close it where it waits."""
        with suppress(
            Exception, asyncio.CancelledError
        ):  # The stream is given up, and its errors with it.
            if self.settle():
                return
        self._is_over = True
        self._coroutine.close()
        if self._waits_for is not None:
            self._waits_for.add_done_callback(_read)

    def _go_on(self) -> None:
        try:
            self._waits_for = self._coroutine.send(None)
        except StopIteration:
            self._is_over = True
        except BaseException:
            self._is_over = True
            raise


def _read(waited_for: asyncio.Future[Any]) -> None:
    """Read a future's failure, so that asyncio does not log it as never retrieved."""
    if not waited_for.cancelled():
        waited_for.exception()
