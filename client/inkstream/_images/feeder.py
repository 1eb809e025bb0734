"""Feeds a client from an iterable of images and yields the results in order.

The feeder runs beside the reader, so that a live source that pauses delays no result. It stays a bounded
number of images ahead of the reader, so that an endless source does not fill the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from inkstream._exceptions import InvalidImage
from inkstream._fork import require_own_process
from inkstream._images.frames import IMAGE_SHAPES, Images, frames_of
from inkstream._images.outbox import Parcel, parcel_of
from inkstream._images.waiters import Failed, OrderedResults, Piece, Rows

_SLICE = 256
"""Images taken from an array at once; they fill a message well."""
_TURN = 64
"""Images that an async feeder sends before it yields to other tasks."""


@dataclass(slots=True)
class _Feeder:
    """Turns images into parcels with one waiter, with positions from 0."""

    put: Callable[[Parcel], None]
    waiter: OrderedResults
    deadline: float | None
    position: int = 0
    """The number of images so far, including invalid ones."""

    def feed(self, images: Images) -> None:
        """Send an image, or an array of images."""
        try:
            frames = frames_of(images)
        except InvalidImage as error:
            self.waiter.fail(self.position, 1, error)
            self.position += 1
            return
        if frames.count:
            self.put(parcel_of(frames, self.waiter, self.deadline, self.position))
            self.position += frames.count


def _slices(images: Iterable[Any]) -> Iterable[Any]:
    """Give an array whose pixels need no check as larger slices, and anything else as it is."""
    if not isinstance(images, np.ndarray):
        return images
    if images.shape in IMAGE_SHAPES:
        return [images]
    if images.dtype == np.uint8 and images.shape[1:] in IMAGE_SHAPES:
        return (images[start : start + _SLICE] for start in range(0, len(images), _SLICE))
    return images


def _unpack(piece: Piece, return_exceptions: bool) -> Iterable[Any] | None:
    """The values in a piece for the caller; None at the end."""
    match piece:
        case Rows():
            return piece.answers.rows(piece.start, piece.stop)
        case Failed() if return_exceptions:
            return repeat(piece.error, piece.count)
        case _ if piece.error is not None:
            raise piece.error
    return None


class _Pace:
    """Keeps a feeder thread from running too far ahead of the reader."""

    def __init__(self, ahead: Callable[[], int]) -> None:
        self._ahead = ahead
        self._changed = threading.Condition()
        self._read = 0
        self._is_stopped = False

    def wait(self, position: int) -> int:
        """Wait until the image at `position` may be sent; returns the position up to which others may.

        Returns 0 when the reader has stopped.
        """
        with self._changed:
            while self._read + self._ahead() <= position and not self._is_stopped:
                self._changed.wait()
            return 0 if self._is_stopped else self._read + self._ahead()

    def advance(self, count: int) -> None:
        """The reader has read `count` more images."""
        with self._changed:
            self._read += count
            self._changed.notify()

    def stop(self) -> None:
        """The reader has stopped."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()


def stream_by_thread(
    images: Iterable[Any],
    put: Callable[[Parcel], None],
    *,
    ahead: Callable[[], int],
    deadline: float | None,
    return_exceptions: bool,
) -> Iterator[Any]:
    """Yield results in order while a thread feeds the images. See `Client.stream`."""
    pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
    waiter = OrderedResults(pieces.put)
    pace = _Pace(ahead)

    def feed() -> None:
        feeder = _Feeder(put, waiter, deadline)
        error: BaseException | None = None
        allowed = 0
        try:
            for each in _slices(images):
                if feeder.position >= allowed:
                    allowed = pace.wait(feeder.position)
                if waiter.is_abandoned:
                    return
                feeder.feed(each)
        except BaseException as raised:  # noqa: BLE001 - the reader raises it in its turn
            error = raised
        waiter.end(feeder.position, error)

    threading.Thread(target=feed, name="inkstream feeder", daemon=True).start()
    pid = os.getpid()
    try:
        while (values := _unpack(piece := pieces.get(), return_exceptions)) is not None:
            for value in values:
                yield value
                require_own_process(pid)
            pace.advance(piece.count)
    finally:
        if os.getpid() == pid:
            waiter.is_abandoned = True
            pace.stop()


async def stream_by_task(
    images: Iterable[Any] | AsyncIterable[Any],
    put: Callable[[Parcel], None],
    *,
    ahead: Callable[[], int],
    deadline: float | None,
    return_exceptions: bool,
) -> AsyncIterator[Any]:
    """Yield results in order while a task feeds the images. See `AsyncClient.stream`."""
    pieces: asyncio.Queue[Piece] = asyncio.Queue()
    waiter = OrderedResults(pieces.put_nowait)
    has_room = asyncio.Event()
    read = 0

    async def feed() -> None:
        feeder = _Feeder(put, waiter, deadline)
        error: BaseException | None = None
        try:
            async for each in _each(images):
                while feeder.position >= read + ahead():
                    has_room.clear()
                    await has_room.wait()
                feeder.feed(each)
        except asyncio.CancelledError:
            raise
        except BaseException as raised:  # noqa: BLE001 - the reader raises it in its turn
            error = raised
        waiter.end(feeder.position, error)

    feeding = asyncio.create_task(feed(), name="inkstream feeder")
    pid = os.getpid()
    try:
        while (values := _unpack(piece := await pieces.get(), return_exceptions)) is not None:
            for value in values:
                yield value
                require_own_process(pid)
            read += piece.count
            has_room.set()
    finally:
        if os.getpid() == pid:
            waiter.is_abandoned = True
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding


async def _each(images: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
        return
    for number, image in enumerate(_slices(images), 1):
        yield image
        if not number % _TURN:
            await asyncio.sleep(0)
