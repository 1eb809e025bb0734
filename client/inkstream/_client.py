"""The sync client: hands parcels to the loop thread and waits for the answers."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, overload

from inkstream._base import ClientBase, parcel_of
from inkstream._exceptions import DeadlineExceeded, InkstreamError
from inkstream._images import Images, frames_of
from inkstream._loop import shared_loop, wait_for
from inkstream._outbox import Parcel
from inkstream._results import Model, Result
from inkstream._sinks import Collector, ThreadFuture
from inkstream._streams import stream_by_thread


class Client(ClientBase):
    """A client of one inkstream server.

    All calls share one long-lived stream, so a client is worth keeping; after a broken connection
    the next call opens a new one. It may be
    used from any number of threads at once; only not from a callback of one of its futures, which
    must not block. Make it after forking, not before. Close it with `close` or use it in a `with`
    statement.
    """

    def recognize(self, images: Images, *, deadline: float | None = None) -> Any:
        """Recognise one image or an array of them.

        Args:
            images: uint8 from 0 to 255 or float from 0 to 1, ink high; shape (28, 28) for one, or
                (N, 28, 28), (N, 28, 28, 1) or (N, 784) for several.
            deadline: seconds after which the answer is worthless; None waits.

        Returns: a `Result` for one image, a list of N of them for an array.

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
        self._put(parcel_of(frames, collector, deadline))
        try:
            if not answered.acquire(timeout=-1 if deadline is None else deadline):
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
        """Hand over one image and return at once.

        Nothing bounds how many wait: use `stream` where the source may be faster than the server.

        Args:
            image: one image as in `recognize`.
            deadline: seconds after which the answer is worthless; None for no limit.

        Returns: a future of the result. Cancelling it harms no other image. Its callbacks run in
            the thread of the connection and must not block.

        Raises:
            InvalidImage: it cannot be taken as it is, or is not one image.
        """
        sink = ThreadFuture()
        self._put(parcel_of(frames_of(image).single(), sink, deadline))
        return sink.future

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
            shared_loop().call_soon_threadsafe(self._connection.wake)
