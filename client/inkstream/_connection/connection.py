"""Keeps a client connected: opens one stream after the other as long as something waits or is unanswered.

Leaves each stream to `stream` and decides what follows it. Nothing is lost in between: what a stream did not
answer goes back to the outboxes. All methods run in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from inkstream._connection.channels import Channels
from inkstream._connection.stream import EXPIRY_SECONDS, StreamCall
from inkstream._exceptions import (
    AccessPending,
    ClientClosed,
    ConnectionLost,
    FatalError,
    InkstreamError,
    ServerDraining,
)
from inkstream._fork import Inheritable
from inkstream._images.exchange import WINDOW_UNTIL_TOLD
from inkstream._images.outbox import Outbox
from inkstream._images.resend import RefusedImages
from inkstream._options.client import Options
from inkstream._options.connection_events import ConnectionEvent, ConnectionState
from inkstream._options.retry import is_retried
from inkstream._pens.outbox import InkOutbox
from inkstream._results.images import Model
from inkstream.v1 import recognition_service_pb2 as wire

_T = TypeVar("_T")

_log = logging.getLogger("inkstream")


class Connection(Inheritable):
    """The streams of one client: the current one, and older ones that still answer what they carried.

    When a stream breaks, another follows as long as something waits or is unanswered. An idle client opens
    the next stream when it is used.
    """

    def __init__(self, options: Options, outbox: Outbox, ink: InkOutbox) -> None:
        super().__init__()
        self._options = options
        self._outbox = outbox
        self._ink = ink
        self._channels = Channels(options)
        self._work = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._draining: dict[asyncio.Task[InkstreamError | None], StreamCall] = {}
        self._refused = RefusedImages(outbox, options.retry_policy, self.wake)
        self._is_moving = False
        self._is_closing = False
        self._has_opened = False
        self._failures = 0
        self._failing_since = 0.0
        self.window = WINDOW_UNTIL_TOLD
        """Frames that may be unanswered on one stream, as the server says."""

    def wake(self) -> None:
        """Look at the outboxes again: one of them has something to send."""
        self._work.set()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="inkstream connection")

    async def model(self) -> Model:
        """Ask the server to describe the model.

        Raises:
            InkstreamError: no server can be reached, or the server has no such model.
        """
        request = wire.GetModelRequest(model=self._options.model)
        response = await self.ask("GetModel", request, self._options.connect_timeout)
        return Model.from_wire(response.model)

    async def ask(self, method: str, request: Any, seconds: float | None) -> Any:
        """Make a unary call; see `Channels.ask`."""
        self._outbox.require_open()
        return await self._channels.ask(method, request, seconds)

    async def close(self, grace: float) -> None:
        """Wait up to `grace` seconds for answers, fail what is left and disconnect.

        Cancelling it disconnects at once. In a forked child it leaves the parent's connection alone.
        """
        if self.is_inherited:
            return
        was_closing, self._is_closing = self._is_closing, True
        self._outbox.close()
        self._ink.close()
        keeper = self._keeper
        try:
            if keeper is not None:
                self._work.set()
                await asyncio.wait([keeper], timeout=grace)
        finally:
            if keeper is not None and not keeper.done():
                keeper.cancel()
                await asyncio.wait([keeper])
            self._fail_waiting(ClientClosed("the client was closed before it was sent"))
            await self._channels.close()
            if not was_closing:
                self._report(ConnectionState.CLOSED)

    async def _keep(self) -> None:
        """Use one stream after the other as long as something waits or is unanswered."""
        failure: InkstreamError = ClientClosed("the client was closed before the answer came")
        try:
            while True:
                if self._has_work() or self._is_moving:
                    await self._use_next()
                elif self._draining or self._refused:
                    # Whatever they put back into the outboxes sets `_work`, too.
                    self._work.clear()
                    await self._work.wait()
                else:
                    return
        except InkstreamError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - every caller that waits gets it
            _log.exception("the connection to %s failed", self._channels.address)
            failure = FatalError(
                f"the client has a bug: {error!r}; please report it with the traceback that the logger "
                "`inkstream` wrote. What was not answered may be sent again"
            )
            failure.__cause__ = error
        finally:
            self._keeper = None
            draining = [*self._draining]
            for task in draining:
                task.cancel()
            self._fail_waiting(failure)
            if draining:
                await asyncio.wait(draining)
                self._fail_waiting(failure)

    async def _use_next(self) -> None:
        """Open a stream and use it until it ends or drains; if it failed, wait as long as the policy says.

        Raises:
            InkstreamError: the policy says not to try again.
        """
        self._is_moving = False
        self._report(ConnectionState.CONNECTING)
        stream = StreamCall(
            self._channels.stream(),
            self._channels.place,
            self._options,
            self._outbox,
            self._ink,
            self._work,
            self._refused.hold,
        )
        try:
            await self._while_expiring(stream.open())
        except InkstreamError as error:
            stream.close()
            await self._failed(stream, error)
            return
        except BaseException:
            stream.close()
            raise
        self.window = stream.window
        self._has_opened = True
        for old in self._draining.values():
            old.leave_ink()
        self._ink.date()
        self._report(ConnectionState.OPEN)
        using = asyncio.create_task(self._use(stream), name="inkstream stream")
        left = asyncio.create_task(stream.draining.wait(), name="inkstream drain")
        try:
            await asyncio.wait({using, left}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            using.cancel()
            await asyncio.wait({using})
            raise
        finally:
            left.cancel()
        if using.done():
            broken = using.result()
            if broken is not None:
                await self._failed(stream, broken)
            return
        self._draining[using] = stream
        using.add_done_callback(self._drained)
        self._is_moving = stream.has_unanswered
        self._report(ConnectionState.DRAINING)
        self._channels.turn()

    async def _use(self, stream: StreamCall) -> InkstreamError | None:
        """Run a stream to its end; gives the error that ended it, or None."""
        error: InkstreamError | None = None
        try:
            await stream.run()
            # A stream that drains may end with items unanswered: the next one carries them.
            if not stream.draining.is_set():
                if stream.has_unanswered:
                    error = ConnectionLost(
                        f"{stream.address} ended the stream before it had answered everything"
                    )
                elif not stream.has_carried:
                    error = ServerDraining(f"{stream.address} accepts no items any more")
        except InkstreamError as broken:
            error = broken
        finally:
            stream.close(error)
        return error

    def _drained(self, task: asyncio.Task[InkstreamError | None]) -> None:
        """A draining stream has ended: the next stream carries what it did not answer."""
        self._draining.pop(task, None)
        if self._keeper is not None:
            self._work.set()

    async def _failed(self, stream: StreamCall, error: InkstreamError) -> None:
        """A stream broke or did not open: wait until it is time for the next.

        Raises:
            InkstreamError: the policy says not to try again.
        """
        policy, now = self._options.retry_policy, time.monotonic()
        if not is_retried(error):
            self._report(ConnectionState.LOST, error)
            raise error
        if stream.has_answered or not self._failures:
            self._failures, self._failing_since = 0, now
        self._failures += 1
        failures, seconds = self._failures, now - self._failing_since
        if not self._has_work():
            self._report(ConnectionState.LOST, error)
            self._failures = 0
            self._channels.turn()
            return
        was_open = self._has_opened or isinstance(error, AccessPending)
        if policy.is_exhausted(failures, seconds, was_open=was_open):
            if failures > 1:
                cause, kind = error, type(error)
                error = kind(f"gave up after {failures} attempts in {seconds:.1f} s: {cause}")
                error.__cause__ = cause
            self._report(ConnectionState.LOST, error)
            self._failures = 0
            raise error
        delay = policy.delay(failures, random.random())  # noqa: S311 - spreads load
        delay = max(delay, error.retry_after or 0.0)
        self._report(ConnectionState.LOST, error, delay)
        self._channels.turn()
        await self._while_expiring(asyncio.sleep(delay))

    async def _while_expiring(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Wait for something while there is no stream, and fail items whose deadline passes."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=EXPIRY_SECONDS))[0]:
                self._outbox.expire(time.monotonic())
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # Read it, or asyncio logs it as never retrieved.

    def _has_work(self) -> bool:
        """Whether something waits; if not, the next item calls `wake`."""
        return not self._outbox.rest() or self._ink.seconds_left() is not None

    def _fail_waiting(self, error: InkstreamError) -> None:
        self._refused.release_all()
        self._outbox.fail(error)
        self._ink.fail(error)

    def _report(
        self,
        state: ConnectionState,
        error: InkstreamError | None = None,
        delay: float | None = None,
    ) -> None:
        on_state = self._options.on_state
        if on_state is None:
            return
        attempt = self._failures if error is not None else self._failures + 1
        event = ConnectionEvent(state, self._channels.address, max(1, attempt), error, delay)
        try:
            on_state(event)
        except Exception:  # noqa: BLE001 - an error of the caller's must not end the connection
            _log.exception("on_state failed")
