"""The async client, which runs in the caller's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Literal, Self, overload

from inkstream._client_base import ClientBase
from inkstream._exceptions import DeadlineExceeded, InkstreamError
from inkstream._images.feeder import stream_by_task
from inkstream._images.frames import ArrayOfUnknownShape, Images, OneImage, SeveralImages, frames_of
from inkstream._images.outbox import Parcel, parcel_of
from inkstream._images.waiters import Collector, OneAnswer
from inkstream._pens.pens import AsyncPen
from inkstream._results.glyphs import GlyphResult
from inkstream._results.images import Model, Result
from inkstream.ink import Ink


class AsyncClient(ClientBase[AsyncPen]):
    """A client of one inkstream server, for asyncio.

    All calls share one long-lived stream, so keep a client rather than making one for each call. When the
    stream breaks, the client opens another, at another address if it has several, and sends again what is
    unanswered: each image and each digit still gets one answer (see `RetryPolicy`). A client belongs to
    the event loop that uses it first. Close it with `close` or use it in an `async with` statement.

    Methods take, return and raise what those of `Client` do.
    """

    _pen_type = AsyncPen
    _loop: asyncio.AbstractEventLoop | None = None

    @overload
    async def recognize(
        self, images: ArrayOfUnknownShape, *, deadline: float | None = None
    ) -> Result | list[Result]: ...
    @overload
    async def recognize(
        self, images: SeveralImages, *, deadline: float | None = None
    ) -> list[Result]: ...
    @overload
    async def recognize(self, images: OneImage, *, deadline: float | None = None) -> Result: ...
    @overload
    async def recognize(
        self, images: Images, *, deadline: float | None = None
    ) -> Result | list[Result]: ...
    async def recognize(
        self, images: Images, *, deadline: float | None = None
    ) -> Result | list[Result]:
        """Recognise one image or several; see `Client.recognize`. Cancelling it harms no other call."""
        self._settle()
        frames = frames_of(images)
        if not frames.count:
            return []
        answered = asyncio.get_running_loop().create_future()
        collector = Collector(
            frames.count, lambda: None if answered.done() else answered.set_result(None)
        )
        parcel = parcel_of(frames, collector, deadline)
        try:
            async with asyncio.timeout(deadline):
                await self._put_when_room(parcel)
                await answered
        except TimeoutError as late:
            raise DeadlineExceeded(f"no answer within {deadline:g} s; allow more time") from late
        finally:
            collector.is_abandoned = True
        results = collector.outcome()
        return results[0] if frames.is_single else results

    @overload
    def stream(
        self,
        images: Iterable[Images] | AsyncIterable[Images],
        *,
        deadline: float | None = None,
        return_exceptions: Literal[False] = False,
    ) -> AsyncIterator[Result]: ...
    @overload
    def stream(
        self,
        images: Iterable[Images] | AsyncIterable[Images],
        *,
        deadline: float | None = None,
        return_exceptions: bool,
    ) -> AsyncIterator[Result | InkstreamError]: ...
    def stream(
        self,
        images: Iterable[Images] | AsyncIterable[Images],
        *,
        deadline: float | None = None,
        return_exceptions: bool = False,
    ) -> AsyncIterator[Result | InkstreamError]:
        """Recognise images as they come and yield the results in the same order; see `Client.stream`.

        A task iterates `images`, at most two windows ahead of the reader. An async iterable is best: a sync
        one that blocks, blocks the event loop.
        """
        return stream_by_task(
            images,
            self._put,
            ahead=self._images_ahead,
            deadline=deadline,
            return_exceptions=return_exceptions,
        )

    async def submit(
        self, image: Images, *, deadline: float | None = None
    ) -> asyncio.Future[Result]:
        """Hand over one image without waiting for its result; see `Client.submit`.

        Waits only while the client's `buffer` is full. Cancelling it, or its future, harms no other image.
        """
        self._settle()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiter = OneAnswer(future, lambda: not future.done())
        parcel = parcel_of(frames_of(image).single(), waiter, deadline)
        try:
            async with asyncio.timeout(deadline):
                await self._put_when_room(parcel)
        except TimeoutError as late:
            raise self._no_room() from late
        return future

    async def recognize_ink(
        self, ink: Ink, *, alternatives: int = 3, deadline: float | None = None
    ) -> GlyphResult:
        """Recognise one digit whose ink is complete; see `Client.recognize_ink`."""
        request = self._ink_request(ink, alternatives, deadline)
        self._settle()
        return self._ink_result(await self._connection.ask("Recognize", request, deadline))

    async def model(self) -> Model:
        """Ask the server to describe the model; see `Client.model`."""
        self._settle()
        return await self._connection.model()

    async def close(self, grace: float = 5.0) -> None:
        """Wait up to `grace` seconds for what is unanswered, fail the rest and disconnect.

        May be called again. Cancelling it disconnects at once.
        """
        await self._connection.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error nobody waits for the answers.
        await self.close(5.0 if kind is None else 0.0)

    def _put(self, parcel: Parcel) -> None:
        if asyncio.get_running_loop() is not self._loop:
            self._settle()
        if self._outbox.put(parcel):
            self._connection.wake()

    async def _put_when_room(self, parcel: Parcel) -> None:
        """Put a parcel. Where there is no room, wait for it or raise, as `when_full` says.

        Raises:
            Overloaded: there is no room, and `when_full` is "raise".
        """
        woken = self._outbox.put_if_room(parcel, None)
        if woken is None:
            if self._options.when_full == "raise":
                raise self._too_full()
            has_room = asyncio.Event()
            on_room = has_room.set
            try:
                while (woken := self._outbox.put_if_room(parcel, on_room)) is None:
                    await has_room.wait()
                    has_room.clear()
            except BaseException:
                self._outbox.forget(on_room)
                raise
        if woken:
            self._connection.wake()

    def _wake(self) -> None:
        self._settle()
        self._connection.wake()

    def _settle(self) -> None:
        """Bind the client to the running loop at its first use.

        Raises:
            ClientClosed: the process that made the client was forked, and this is the child.
            RuntimeError: another loop has used it.
        """
        self._outbox.require_own_process()
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise RuntimeError("an AsyncClient belongs to one event loop; make one for each loop")
        self._loop = loop
