"""What waits to be sent: parcels of frames, each with somebody who waits for its answers.

Work is handed around in parcels, so what is done once a parcel costs nothing a frame when a caller
brings many. Knows neither sockets nor event loops.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from inkstream._exceptions import ClientClosed, DeadlineExceeded, InkstreamError
from inkstream._results import Answers


class Sink(Protocol):
    """Who waits for answers. Numbers its frames by `position`, from 0, as it hands them over.

    Every position is answered exactly once, by one of the two methods, in the thread that runs the
    connection; neither may raise or block.
    """

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits any more: frames that have not been sent yet stay behind."""

    def deliver(self, position: int, answers: Answers, start: int, stop: int) -> None:
        """Rows `start` to `stop` answer the positions from `position` on."""

    def fail(self, position: int, count: int, error: InkstreamError) -> None:
        """`count` positions from `position` on get no result."""


class Parcel:
    """Frames of one kind that one sink waits for."""

    __slots__ = ("buffer", "count", "expires", "frame_bytes", "position", "sink")

    def __init__(
        self,
        frame_bytes: int,
        buffer: bytes | memoryview,
        count: int,
        sink: Sink,
        *,
        position: int = 0,
        expires: float | None = None,
    ) -> None:
        self.frame_bytes = frame_bytes
        self.buffer = buffer
        self.count = count
        self.sink = sink
        self.position = position
        self.expires = expires
        """When an answer becomes worthless, on the clock that `take` and `pack` are given."""

    def split(self, count: int) -> Parcel:
        """Take the first `count` frames out, without copying them."""
        pixels = memoryview(self.buffer)
        cut = count * self.frame_bytes
        first = Parcel(
            self.frame_bytes,
            pixels[:cut],
            count,
            self.sink,
            position=self.position,
            expires=self.expires,
        )
        self.buffer = pixels[cut:]
        self.count -= count
        self.position += count
        return first


class Outbox:
    """Parcels that wait to be sent. Any thread may put, one takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parcels: deque[Parcel] = deque()
        self._is_asleep = True
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._parcels)

    def put(self, parcel: Parcel) -> bool:
        """Append a parcel; returns whether the taker has to be woken.

        Raises:
            ClientClosed: the outbox was closed.
        """
        with self._lock:
            if self._is_closed:
                raise ClientClosed("the client is closed: make a new one")
            self._parcels.append(parcel)
            was_asleep, self._is_asleep = self._is_asleep, False
        return was_asleep

    def take(self, room: int, now: float) -> list[Parcel]:
        """Take parcels of one kind of frame, `room` frames at most, in the order they came.

        Leaves abandoned parcels behind and fails expired ones. Where nothing is left, the next
        `put` says that the taker has to be woken.
        """
        taken: list[Parcel] = []
        expired: list[Parcel] = []
        with self._lock:
            parcels = self._parcels
            while parcels and room:
                parcel = parcels[0]
                if parcel.sink.is_abandoned:
                    parcels.popleft()
                elif parcel.expires is not None and parcel.expires <= now:
                    expired.append(parcels.popleft())
                elif taken and parcel.frame_bytes != taken[0].frame_bytes:
                    break
                elif parcel.count > room:
                    taken.append(parcel.split(room))
                    room = 0
                else:
                    taken.append(parcels.popleft())
                    room -= parcel.count
            self._is_asleep = not parcels and not taken
        # Outside the lock: a future's callback may put the next parcel.
        for parcel in expired:
            _fail(parcel, DeadlineExceeded("the deadline passed before the image was sent"))
        return taken

    def rest(self) -> bool:
        """Whether nothing waits; if so, the next `put` says that the taker has to be woken."""
        with self._lock:
            self._is_asleep = not self._parcels
            return self._is_asleep

    def close(self) -> None:
        """Refuse what comes from now on."""
        with self._lock:
            self._is_closed = True

    def fail(self, error: InkstreamError) -> None:
        """Fail everything that waits; the next `put` says that the taker has to be woken."""
        with self._lock:
            parcels, self._parcels = self._parcels, deque()
            self._is_asleep = True
        for parcel in parcels:
            _fail(parcel, error)


def _fail(parcel: Parcel, error: InkstreamError) -> None:
    parcel.sink.fail(parcel.position, parcel.count, error)
