"""The sync client: hands parcels to the loop thread and waits for the answers."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Literal, Self, overload

from inkstream._client_base import ClientBase
from inkstream._connection.loop_thread import is_shared_loop, shared_loop, wait_for
from inkstream._exceptions import DeadlineExceeded, InkstreamError
from inkstream._images.feeder import stream_by_thread
from inkstream._images.frames import Images, OneImage, SeveralImages, UnknownShape, frames_of
from inkstream._images.outbox import Parcel, parcel_of
from inkstream._images.waiters import Collector, ThreadFuture
from inkstream._pens.pens import Pen
from inkstream._results.glyphs import GlyphResult
from inkstream._results.images import Model, Result
from inkstream.ink import Ink


class Client(ClientBase[Pen]):
    """A client of one inkstream server.

    All calls share one long-lived stream, so a client is worth keeping. When it breaks, the client
    opens another, at another address if it has several, and sends again what is unanswered: each image
    and each digit gets its one answer all the same (see `RetryPolicy`). It may be used from any number
    of threads at once; only not from a callback of one of its futures, which must not block. A forked
    child makes a client of its own: one that its parent made raises `ClientClosed` there. Close it with
    `close` or use it in a `with` statement.
    """

    _pen_type = Pen

    @overload
    def recognize(
        self, images: UnknownShape, *, deadline: float | None = None
    ) -> Result | list[Result]: ...
    @overload
    def recognize(
        self, images: SeveralImages, *, deadline: float | None = None
    ) -> list[Result]: ...
    @overload
    def recognize(self, images: OneImage, *, deadline: float | None = None) -> Result: ...
    @overload
    def recognize(
        self, images: Images, *, deadline: float | None = None
    ) -> Result | list[Result]: ...
    def recognize(self, images: Images, *, deadline: float | None = None) -> Result | list[Result]:
        """Recognise one image or an array of them.

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
        frames = frames_of(images)
        if not frames.count:
            return []
        answered = threading.Lock()
        answered.acquire()
        collector = Collector(frames.count, answered.release)
        parcel = parcel_of(frames, collector, deadline)
        self._put_when_room(parcel)
        try:
            left = -1.0 if parcel.expires is None else max(0.0, parcel.expires - time.monotonic())
            if not answered.acquire(timeout=left):
                raise DeadlineExceeded(f"no answer within {deadline:g} s")
        finally:
            collector.is_abandoned = True
        results = collector.outcome()
        return results[0] if frames.is_single else results

    @overload
    def stream(
        self,
        images: Iterable[Images],
        *,
        deadline: float | None = None,
        return_exceptions: Literal[False] = False,
    ) -> Iterator[Result]: ...
    @overload
    def stream(
        self,
        images: Iterable[Images],
        *,
        deadline: float | None = None,
        return_exceptions: bool,
    ) -> Iterator[Result | InkstreamError]: ...
    def stream(
        self,
        images: Iterable[Images],
        *,
        deadline: float | None = None,
        return_exceptions: bool = False,
    ) -> Iterator[Result | InkstreamError]:
        """Recognise images as they come; yields the results in the same order.

        A thread of its own iterates `images`, at most two windows ahead of the reader, so a source
        that pauses holds no result back and an endless one fills no memory. Closing the generator
        ends it; a source that blocks is left alone until it yields again.

        Args:
            images: an iterable of images, each as in `recognize`; an array among them counts as
                that many images.
            deadline: seconds that each image may take from the moment the source yielded it.
            return_exceptions: yield the error of an image that got no result in its place, instead
                of raising it there.

        Raises:
            InkstreamError: of the first image that got no result, after all results before it.
            Exception: whatever `images` raises, after all results before it.
        """
        return stream_by_thread(
            images,
            self._put,
            ahead=self._images_ahead,
            deadline=deadline,
            return_exceptions=return_exceptions,
        )

    def submit(
        self, image: Images, *, deadline: float | None = None
    ) -> concurrent.futures.Future[Result]:
        """Hand over one image and return at once, unless the client's `buffer` is full.

        Args:
            image: one image as in `recognize`.
            deadline: seconds after which the answer is worthless, the wait for room included; None for
                no limit.

        Returns: a future of the result. Cancelling it harms no other image. Its callbacks run in
            the thread of the connection and must not block.

        Raises:
            InvalidImage: it cannot be taken as it is, or is not one image.
            Overloaded: the buffer is full, and `when_full` is "raise" or this is a callback.
            DeadlineExceeded: there was no room in time.
        """
        sink = ThreadFuture()
        self._put_when_room(parcel_of(frames_of(image).single(), sink, deadline))
        return sink.future

    def recognize_ink(
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
        return self._ink_result(wait_for(self._connection.recognize(request, deadline)))

    def model(self) -> Model:
        """Ask the server to describe the model.

        Raises:
            InkstreamError: the server cannot be reached, or does not serve it.
        """
        return wait_for(self._connection.model())

    def close(self, grace: float = 5.0) -> None:
        """Wait up to `grace` seconds for what is unanswered, fail the rest and disconnect.

        May be called again.
        """
        wait_for(self._connection.close(grace))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After an error nobody waits for the answers still due.
        self.close() if kind is None else self.close(grace=0)

    def _put(self, parcel: Parcel) -> None:
        if self._outbox.put(parcel):
            self._wake()

    def _put_when_room(self, parcel: Parcel) -> None:
        """Put a parcel; wait for room or raise where there is none, as the client was told.

        Raises:
            Overloaded: there is no room, and waiting for it is not asked for or would never end.
            DeadlineExceeded: there was none in time.
        """
        woken = self._outbox.put_if_room(parcel, None)
        if woken is None:
            if self._options.when_full == "raise" or is_shared_loop():
                raise self._too_full()
            woken = self._wait_for_room(parcel)
        if woken:
            self._wake()

    def _wait_for_room(self, parcel: Parcel) -> bool:
        has_room = threading.Event()
        while (woken := self._outbox.put_if_room(parcel, has_room.set)) is None:
            left = None if parcel.expires is None else parcel.expires - time.monotonic()
            if not has_room.wait(left):
                raise DeadlineExceeded(
                    "the deadline passed before there was room to send the image"
                )
            has_room.clear()
        return woken

    def _wake(self) -> None:
        shared_loop().call_soon_threadsafe(self._connection.wake)
