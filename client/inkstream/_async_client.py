"""The async client: lives in the caller's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Literal, Self, overload

from inkstream._client_base import ClientBase
from inkstream._exceptions import DeadlineExceeded, InkstreamError
from inkstream._images.feeder import stream_by_task
from inkstream._images.frames import Images, OneImage, SeveralImages, UnknownShape, frames_of
from inkstream._images.outbox import Parcel, parcel_of
from inkstream._images.waiters import Collector, LoopFuture
from inkstream._pens.pens import AsyncPen
from inkstream._results.glyphs import GlyphResult
from inkstream._results.images import Model, Result
from inkstream.ink import Ink


class AsyncClient(ClientBase[AsyncPen]):
    """A client of one inkstream server, for asyncio.

    All calls share one long-lived stream, so a client is worth keeping. When it breaks, the client
    opens another, at another address if it has several, and sends again what is unanswered: each image
    and each digit gets its one answer all the same (see `RetryPolicy`). It belongs to the event loop in
    which it is used first, and to no other. Close it with `close` or use it in an `async with` statement.
    """

    _pen_type = AsyncPen
    _loop: asyncio.AbstractEventLoop | None = None

    @overload
    async def recognize(
        self, images: UnknownShape, *, deadline: float | None = None
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
        """Recognise one image or an array of them. Cancelling it harms no other call.

        Args:
            images: an array, or nested lists, of shape (28, 28), (28, 28, 1) or (784,) for one image;
                (N, 28, 28), (N, 28, 28, 1), (N, 1, 28, 28) or (N, 784) for several. Integers run from 0
                (background) to 255 (ink), floats from 0 to 1; True is ink. Integers that are all 0 or 1 are
                refused unless they are uint8: they may be meant as bools.
            deadline: seconds after which the answer is worthless; None waits.

        Returns: a `Result` for one image, a list of N for several. A type checker counts dimensions: it takes
            one or two for one image, three or four for several. So it is wrong about (N, 784) and
            (28, 28, 1), and for an NDArray, whose dimensions it does not know, it expects either.

        Raises:
            InvalidImage: the images cannot be taken as they are.
            InkstreamError: another branch of the tree; of the first image that got no result.
        """
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
            if deadline is None:
                await self._put_when_room(parcel)
                await answered
            else:
                async with asyncio.timeout(deadline):
                    await self._put_when_room(parcel)
                    await answered
        except TimeoutError as late:
            raise DeadlineExceeded(f"no answer within {deadline:g} s") from late
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
        """Recognise images as they come; yields the results in the same order.

        A task of its own iterates `images`, at most two windows ahead of the reader. A source that
        waits should be an async iterable: a sync one that blocks, blocks the event loop.

        Args:
            images: an iterable or async iterable of images, each as in `recognize`; an array among
                them counts as that many images.
            deadline: seconds that each image may take from the moment the source yielded it.
            return_exceptions: yield the error of an image that got no result in its place, instead
                of raising it there.

        Raises:
            InkstreamError: of the first image that got no result, after all results before it.
            Exception: whatever `images` raises, after all results before it.
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
        """Hand over one image; returns at once, unless the client's `buffer` is full. Cancelling it is fine.

        Args:
            image: one image as in `recognize`.
            deadline: seconds after which the answer is worthless, the wait for room included; None for
                no limit.

        Returns: a future of the result, to be awaited in its turn. Cancelling it harms no other image.

        Raises:
            InvalidImage: it cannot be taken as it is, or is not one image.
            Overloaded: the buffer is full, and `when_full` is "raise".
            DeadlineExceeded: there was no room in time.
        """
        self._settle()
        sink = LoopFuture()
        parcel = parcel_of(frames_of(image).single(), sink, deadline)
        try:
            async with asyncio.timeout(deadline):
                await self._put_when_room(parcel)
        except TimeoutError as late:
            raise DeadlineExceeded(
                "the deadline passed before there was room to send the image"
            ) from late
        return sink.future

    async def recognize_ink(
        self, ink: Ink, *, alternatives: int = 3, deadline: float | None = None
    ) -> GlyphResult:
        """Recognise one digit whose ink is complete.

        Args:
            ink: its strokes.
            alternatives: number of best digits in the result, 0 to 10.
            deadline: seconds after which the answer is worthless; None waits.

        Returns: the final result; its strokes are numbered from 1.

        Raises:
            InvalidInk: the ink cannot be taken as it is.
            InkstreamError: another branch of the tree.
        """
        request = self._ink_request(ink, alternatives, deadline)
        self._settle()
        return self._ink_result(await self._connection.recognize(request, deadline))

    async def model(self) -> Model:
        """Ask the server to describe the model.

        Raises:
            InkstreamError: the server cannot be reached, or does not serve it.
        """
        self._settle()
        return await self._connection.model()

    async def close(self, grace: float = 5.0) -> None:
        """Wait up to `grace` seconds for what is unanswered, fail the rest and disconnect.

        May be called again. Cancelling it disconnects at once.
        """
        await self._connection.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After an error nobody waits for the answers still due.
        await self.close(5.0 if kind is None else 0.0)

    def _put(self, parcel: Parcel) -> None:
        if asyncio.get_running_loop() is not self._loop:
            self._settle()
        if self._outbox.put(parcel):
            self._connection.wake()

    async def _put_when_room(self, parcel: Parcel) -> None:
        """Put a parcel; wait for room or raise where there is none, as the client was told.

        Raises:
            Overloaded: there is no room, and waiting for it is not asked for.
        """
        woken = self._outbox.put_if_room(parcel, None)
        if woken is None:
            if self._options.when_full == "raise":
                raise self._too_full()
            has_room = asyncio.Event()
            while (woken := self._outbox.put_if_room(parcel, has_room.set)) is None:
                await has_room.wait()
                has_room.clear()
        if woken:
            self._connection.wake()

    def _wake(self) -> None:
        self._settle()
        self._connection.wake()

    def _settle(self) -> None:
        """Belong to the running loop from the first use on."""
        self._outbox.require_own_process()
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise RuntimeError("an AsyncClient belongs to one event loop; make one for each")
        self._loop = loop
