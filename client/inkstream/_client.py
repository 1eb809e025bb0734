"""The sync client, which hands images to the thread of the connection and waits for the results."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Literal, Self, overload

from inkstream._client_base import ClientBase
from inkstream._connection.loop_thread import is_shared_loop, shared_loop, wait_for
from inkstream._exceptions import DeadlineExceeded, InkstreamError
from inkstream._images.feeder import stream_by_thread
from inkstream._images.frames import ArrayOfUnknownShape, Images, OneImage, SeveralImages, frames_of
from inkstream._images.outbox import Parcel, parcel_of
from inkstream._images.waiters import Collector, OneAnswer, ThreadFuture
from inkstream._pens.pens import Pen
from inkstream._results.glyphs import GlyphResult
from inkstream._results.images import Model, Result
from inkstream.ink import Ink


class Client(ClientBase[Pen]):
    """A client of one inkstream server.

    All calls share one long-lived stream, so keep a client rather than making one for each call. When the
    stream breaks, the client opens another, at another address if it has several, and sends again what is
    unanswered: each image and each digit still gets one answer (see `RetryPolicy`). Any number of threads
    may use it at once, but no callback of its futures, as those must not block. A
    forked child makes a client of its own: one that its parent made raises `ClientClosed` there. Close a
    client with `close` or use it in a `with` statement.
    """

    _pen_type = Pen

    @overload
    def recognize(
        self, images: ArrayOfUnknownShape, *, deadline: float | None = None
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
        """Recognise one image or several.

        Args:
            images: an array, or nested lists, of shape (28, 28), (28, 28, 1) or (784,) for one image;
                (N, 28, 28), (N, 28, 28, 1), (N, 1, 28, 28) or (N, 784) for several. Integers run from 0
                (background) to 255 (ink), floats from 0 to 1; True is ink. Integers that are all 0 or 1 are
                refused unless they are uint8, as they may be meant as bools.
            deadline: seconds after which the result is of no use; None for no limit.

        Returns: a `Result` for one image, a list of N for several. A type checker counts dimensions: it takes
            one or two for one image, three or four for several. So it is wrong about (N, 784) and
            (28, 28, 1), and for an NDArray, whose dimensions it does not know, it expects either.

        Raises:
            InvalidImage: the images cannot be taken as they are.
            DeadlineExceeded: the deadline passed first.
            InkstreamError: any other reason why an image got no result; of several, that of the first.
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
                raise DeadlineExceeded(f"no answer within {deadline:g} s; allow more time")
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
        """Recognise images as they come and yield the results in the same order.

        A thread iterates `images`, at most two windows ahead of the reader. So a source that pauses holds
        no result back, and an endless one fills no memory. Closing the generator ends the thread as soon as
        the source yields again.

        Args:
            images: an iterable of images, each as in `recognize`; an array of N counts as N images.
            deadline: seconds that each image may take after the source yielded it; None for no limit.
            return_exceptions: yield the error of an image that got no result in its place, instead of
                raising it.

        Raises:
            InkstreamError: the first image without a result, after all results before it.
            Exception: what `images` raises, after all results before it.
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
        """Hand over one image without waiting for its result. Waits only while `buffer` is full.

        Args:
            image: one image as in `recognize`.
            deadline: seconds after which the result is of no use, the wait for room included; None for no
                limit.

        Returns: a future of the result. Cancelling it harms no other image. Its callbacks run in
            the thread of the connection and must not block.

        Raises:
            InvalidImage: it cannot be taken as it is, or is not one image.
            Overloaded: the buffer is full, and `when_full` is "raise" or this is a callback.
            DeadlineExceeded: the deadline passed before there was room.
        """
        future = ThreadFuture()
        waiter = OneAnswer(future, future.set_running_or_notify_cancel)
        self._put_when_room(parcel_of(frames_of(image).single(), waiter, deadline))
        return future

    def recognize_ink(
        self, ink: Ink, *, alternatives: int = 3, deadline: float | None = None
    ) -> GlyphResult:
        """Recognise one digit whose ink is complete.

        Args:
            ink: its strokes.
            alternatives: number of best digits in the result, 0 to 10.
            deadline: seconds after which the result is of no use; None for no limit.

        Returns: the final result; its strokes are numbered from 1.

        Raises:
            InvalidInk: the ink cannot be taken as it is.
            InkstreamError: any other reason why it got no result.
        """
        request = self._ink_request(ink, alternatives, deadline)
        return self._ink_result(wait_for(self._connection.ask("Recognize", request, deadline)))

    def model(self) -> Model:
        """Ask the server to describe the model.

        Raises:
            InkstreamError: no server answers, or it does not serve the model.
        """
        return wait_for(self._connection.model())

    def close(self, grace: float = 5.0) -> None:
        """Wait up to `grace` seconds for what is unanswered, fail the rest and disconnect.

        May be called again.
        """
        wait_for(self._connection.close(grace))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error nobody waits for the answers.
        self.close(5.0 if kind is None else 0.0)

    def _put(self, parcel: Parcel) -> None:
        if self._outbox.put(parcel):
            self._wake()

    def _put_when_room(self, parcel: Parcel) -> None:
        """Put a parcel. Where there is no room, wait for it or raise, as `when_full` says.

        Raises:
            Overloaded: there is no room, and `when_full` is "raise", or the wait would block the connection.
            DeadlineExceeded: the deadline passed before there was room.
        """
        woken = self._outbox.put_if_room(parcel, None)
        if woken is None:
            if self._options.when_full == "raise" or is_shared_loop():
                raise self._too_full()
            has_room = threading.Event()
            on_room = has_room.set
            try:
                while (woken := self._outbox.put_if_room(parcel, on_room)) is None:
                    left = None if parcel.expires is None else parcel.expires - time.monotonic()
                    if not has_room.wait(left):
                        raise self._no_room()
                    has_room.clear()
            except BaseException:
                self._outbox.forget(on_room)
                raise
        if woken:
            self._wake()

    def _wake(self) -> None:
        shared_loop().call_soon_threadsafe(self._connection.wake)
