"""Keeps a client connected: one stream after the other, at whichever address lives, until nothing is due.

Lives in one event loop, and so do all its methods. A stream is the business of `_stream_call`; this decides
what follows it, and loses nothing in between: what a stream did not answer lies in the outboxes again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from inkstream._connection.channels import Channels
from inkstream._connection.stream import WINDOW_UNTIL_TOLD, StreamCall
from inkstream._exceptions import (
    ClientClosed,
    ConnectionLost,
    FatalError,
    InkstreamError,
    ServerDraining,
)
from inkstream._fork import Inheritable
from inkstream._images.outbox import Outbox
from inkstream._images.resend import RefusedImages
from inkstream._options.client import Options
from inkstream._options.connection_events import ConnectionEvent, ConnectionState
from inkstream._options.retry import RETRIED
from inkstream._pens.outbox import InkOutbox
from inkstream._results.images import Model
from inkstream.v1 import recognition_service_pb2 as wire

_T = TypeVar("_T")

_EXPIRY_SECONDS = 0.05
"""How late a deadline may be noticed while there is no stream to notice it."""
_log = logging.getLogger("inkstream")


class Connection(Inheritable):
    """Streams of one client: one that is written to, and those that are left and answer what they have.

    A stream that breaks is followed by another as long as something waits or is unanswered; an idle client
    opens the next one when it is used.
    """

    def __init__(self, options: Options, outbox: Outbox, ink: InkOutbox) -> None:
        super().__init__()
        self._options = options
        self._outbox = outbox
        self._ink = ink
        self._channels = Channels(options)
        self._work = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._leaving: dict[asyncio.Task[InkstreamError | None], StreamCall] = {}
        self._refused = RefusedImages(outbox, options.retry_policy, self.wake)
        self._is_moving = False
        self._is_closing = False
        self._was_open = False
        self._failures = 0
        self._failing_since = 0.0
        self.window = WINDOW_UNTIL_TOLD
        """Frames that the server lets one stream leave unanswered."""

    def wake(self) -> None:
        """Look at the outboxes: one of them said so."""
        self._work.set()
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="inkstream connection")

    async def model(self) -> Model:
        """Ask the server to describe the model.

        Raises:
            InkstreamError: the server cannot be reached, or does not serve it.
        """
        request = wire.GetModelRequest(model=self._options.model)
        response = await self._ask("GetModel", request, self._options.connect_timeout)
        return Model.from_wire(response.model)

    async def recognize(
        self, request: wire.RecognizeRequest, deadline: float | None
    ) -> wire.RecognizeResponse:
        """Make one unary call.

        Raises:
            InkstreamError: it failed as a whole.
        """
        response: wire.RecognizeResponse = await self._ask("Recognize", request, deadline)
        return response

    async def close(self, grace: float) -> None:
        """Wait up to `grace` seconds for what is unanswered, fail the rest and disconnect.

        Cancelling it disconnects at once. In a forked child it leaves the parent's connection alone.
        """
        if self.is_inherited:
            return
        was_closing, self._is_closing = self._is_closing, True
        self._outbox.close()
        self._ink.close()
        keeping = self._keeping
        try:
            if keeping is not None:
                self._work.set()
                await asyncio.wait([keeping], timeout=grace)
        finally:
            if keeping is not None and not keeping.done():
                keeping.cancel()
                await asyncio.wait([keeping])
            self._fail_waiting(ClientClosed("the client was closed before it was sent"))
            await self._channels.close()
            if not was_closing:
                self._tell(ConnectionState.CLOSED)

    async def _ask(self, method: str, request: Any, seconds: float | None) -> Any:
        self._outbox.require_open()
        return await self._channels.ask(method, request, seconds)

    async def _keep(self) -> None:
        """Use one stream after the other as long as something is due."""
        failure: InkstreamError = ClientClosed("the client was closed before the answer came")
        try:
            while True:
                if self._has_work() or self._is_moving:
                    await self._use_next()
                elif self._leaving or self._refused:
                    # What they give back wakes as well.
                    self._work.clear()
                    await self._work.wait()
                else:
                    return
        except InkstreamError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            _log.exception("the connection to %s failed", self._channels.address)
            failure = FatalError(
                f"the client failed by a fault of its own: {error!r}; the log of `inkstream` has the "
                "traceback, please report it. What was not answered may be sent again"
            )
            failure.__cause__ = error
        finally:
            self._keeping = None
            leaving = [*self._leaving]
            for task in leaving:
                task.cancel()
            self._fail_waiting(failure)
            if leaving:
                await asyncio.wait(leaving)
                self._fail_waiting(failure)

    async def _use_next(self) -> None:
        """Open a stream and use it until it ends or is left for the next; then wait as the policy says.

        Raises:
            InkstreamError: there is no point in trying again.
        """
        self._is_moving = False
        stream = self._new_stream()
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
        self._was_open = True
        for old in self._leaving.values():
            old.leave_ink()
        self._ink.date()
        self._tell(ConnectionState.OPEN)
        using = asyncio.create_task(self._use(stream), name="inkstream stream")
        left = asyncio.create_task(stream.leaving.wait(), name="inkstream drain")
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
        self._leaving[using] = stream
        using.add_done_callback(self._left)
        self._is_moving = stream.is_owing
        self._tell(ConnectionState.DRAINING)
        self._channels.turn()

    def _new_stream(self) -> StreamCall:
        self._tell(ConnectionState.CONNECTING)
        return StreamCall(
            self._channels.stream(),
            self._channels.place,
            self._options,
            self._outbox,
            self._ink,
            self._work,
            self._refused.hold,
        )

    async def _use(self, stream: StreamCall) -> InkstreamError | None:
        """Run a stream to its end; gives what was wrong with the end, if anything was."""
        error: InkstreamError | None = None
        try:
            await stream.run()
            if stream.leaving.is_set():
                pass  # As it should be.
            elif stream.is_owing:
                error = ConnectionLost(
                    f"{stream.address} ended the stream before it had answered everything"
                )
            elif not stream.has_carried:
                error = ServerDraining(f"{stream.address} takes nothing any more")
        except InkstreamError as broken:
            error = broken
        finally:
            stream.close(error)
        return error

    def _left(self, task: asyncio.Task[InkstreamError | None]) -> None:
        """A stream that was left has ended: what it did not answer, the next one does."""
        self._leaving.pop(task, None)
        if self._keeping is not None:
            self._work.set()

    async def _failed(self, stream: StreamCall, error: InkstreamError) -> None:
        """A stream broke or did not open: wait until it is time for the next.

        Raises:
            InkstreamError: it is not to be tried again.
        """
        policy, now = self._options.retry_policy, time.monotonic()
        if not isinstance(error, RETRIED):
            self._tell(ConnectionState.LOST, error)
            raise error
        if stream.has_answered or not self._failures:
            self._failures, self._failing_since = 0, now
        self._failures += 1
        failures, seconds = self._failures, now - self._failing_since
        if not self._has_work():
            self._tell(ConnectionState.LOST, error)
            self._failures = 0
            self._channels.turn()
            return
        if policy.is_exhausted(failures, seconds, was_open=self._was_open):
            if failures > 1:
                cause, kind = error, type(error)
                error = kind(f"gave up after {failures} attempts in {seconds:.1f} s: {cause}")
                error.__cause__ = cause
            self._tell(ConnectionState.LOST, error)
            self._failures = 0
            raise error
        delay = policy.delay(failures, random.random())  # noqa: S311 - spreads load
        self._tell(ConnectionState.LOST, error, delay)
        self._channels.turn()
        await self._while_expiring(asyncio.sleep(delay))

    async def _while_expiring(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Wait for something while there is no stream; deadlines go on meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=_EXPIRY_SECONDS))[0]:
                self._outbox.expire(time.monotonic())
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # Somebody has it, or nobody wants it: we were cancelled.

    def _has_work(self) -> bool:
        """Whether something waits; if not, what comes next wakes."""
        return not self._outbox.rest() or self._ink.seconds_left() is not None

    def _fail_waiting(self, error: InkstreamError) -> None:
        self._refused.release_all()
        self._outbox.fail(error)
        self._ink.fail(error)

    def _tell(
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
        except Exception:  # noqa: BLE001 - whatever it raises
            # As with callbacks of futures: it is the caller's, and must not end the connection.
            _log.exception("on_state failed")
