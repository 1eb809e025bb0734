"""What waits to be sent: parcels of frames, each with somebody who waits for its answers.

Work is handed around in parcels, so what is done once a parcel costs nothing a frame when a caller
brings many. Knows neither sockets nor event loops.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from inkstream._exceptions import (
    ClientClosed,
    DeadlineExceeded,
    InkstreamError,
)
from inkstream._fork import Inheritable
from inkstream._images.frames import Frames
from inkstream._options.checks import require_deadline
from inkstream._results.images import Answers


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

    __slots__ = (
        "broken_streams",
        "buffer",
        "count",
        "expires",
        "frame_bytes",
        "position",
        "refusals",
        "sink",
    )

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
        self.broken_streams = 0
        """Streams that broke while they carried it."""
        self.refusals = 0
        """Times that a server refused it and it was kept to be sent again."""

    def part(self, skip: int, count: int) -> Parcel:
        """`count` frames from the one at `skip` on, without copying them."""
        if not skip and count == self.count:
            return self
        start = skip * self.frame_bytes
        part = Parcel(
            self.frame_bytes,
            memoryview(self.buffer)[start : start + count * self.frame_bytes],
            count,
            self.sink,
            position=self.position + skip,
            expires=self.expires,
        )
        part.broken_streams, part.refusals = self.broken_streams, self.refusals
        return part


class Outbox(Inheritable):
    """Parcels that wait to be sent. Any thread may put, one takes."""

    def __init__(self, most_frames: int) -> None:
        """Start empty.

        Args:
            most_frames: frames that may wait before `put_if_room` takes no more.
        """
        super().__init__()
        self._most_frames = most_frames
        self._lock = threading.Lock()
        self._parcels: deque[Parcel] = deque()
        self._frames = 0
        self._on_room: deque[Callable[[], None]] = deque()
        self._is_asleep = True
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._parcels)

    def put(self, parcel: Parcel) -> bool:
        """Append a parcel; returns whether the taker has to be woken.

        Raises:
            ClientClosed: the outbox was closed.
        """
        with self._lock:
            self.require_open()
            self._frames += parcel.count
            self._parcels.append(parcel)
            was_asleep, self._is_asleep = self._is_asleep, False
        return was_asleep

    def put_if_room(self, parcel: Parcel, on_room: Callable[[], None] | None) -> bool | None:
        """As `put`, but returns None, and takes nothing, where too much waits already.

        A parcel larger than the whole buffer goes when nothing else waits.

        Args:
            parcel: what to append.
            on_room: called once, in the taker's thread, when trying again makes sense; None not to ask.
        """
        with self._lock:
            self.require_open()
            if self._frames and self._frames + parcel.count > self._most_frames:
                if on_room is not None:
                    self._on_room.append(on_room)
                return None
            self._frames += parcel.count
            self._parcels.append(parcel)
            was_asleep, self._is_asleep = self._is_asleep, False
        return was_asleep

    def put_back(self, parcels: Iterable[Parcel]) -> None:
        """Put what was taken before all that waits; whoever does wakes the taker.

        Takes them even where there is no room, and when closed: they were accepted before.
        """
        with self._lock:
            self._parcels.extendleft(reversed([*parcels]))
            self._frames = sum(parcel.count for parcel in self._parcels)

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
                count = parcel.count
                if parcel.sink.is_abandoned:
                    parcels.popleft()
                elif parcel.expires is not None and parcel.expires <= now:
                    expired.append(parcels.popleft())
                elif taken and parcel.frame_bytes != taken[0].frame_bytes:
                    break
                elif count > room:
                    taken.append(parcel.part(0, room))
                    parcels[0] = parcel.part(room, count - room)
                    count, room = room, 0
                else:
                    taken.append(parcels.popleft())
                    room -= count
                self._frames -= count
            self._is_asleep = not parcels and not taken
            calls = self._room_made()
        # Outside the lock: a future's callback may put the next parcel.
        _expire(expired)
        for call in calls:
            call()
        return taken

    def expire(self, now: float) -> None:
        """Fail what has expired and drop what nobody waits for, while nothing can be sent."""
        expired: list[Parcel] = []
        kept: deque[Parcel] = deque()
        with self._lock:
            for parcel in self._parcels:
                if parcel.sink.is_abandoned:
                    self._frames -= parcel.count
                elif parcel.expires is not None and parcel.expires <= now:
                    self._frames -= parcel.count
                    expired.append(parcel)
                else:
                    kept.append(parcel)
            self._parcels = kept
            calls = self._room_made()
        _expire(expired)
        for call in calls:
            call()

    def rest(self) -> bool:
        """Whether nothing waits; if so, the next `put` says that the taker has to be woken."""
        with self._lock:
            self._is_asleep = not self._parcels
            return self._is_asleep

    def close(self) -> None:
        """Refuse what comes from now on."""
        with self._lock:
            self.is_closed = True
            calls, self._on_room = self._on_room, deque()
        for call in calls:
            call()

    def disown(self) -> None:
        """See `Inheritable`."""
        super().disown()
        self._lock = threading.Lock()
        self.is_closed = True

    def fail(self, error: InkstreamError) -> None:
        """Fail everything that waits; the next `put` says that the taker has to be woken."""
        with self._lock:
            parcels, self._parcels = self._parcels, deque()
            self._frames = 0
            self._is_asleep = True
            calls = self._room_made()
        for parcel in parcels:
            parcel.sink.fail(parcel.position, parcel.count, error)
        for call in calls:
            call()

    def require_open(self) -> None:
        """Do nothing as long as the client is open.

        Raises:
            ClientClosed: it was closed, or belongs to the parent process.
        """
        self.require_own_process()
        if self.is_closed:
            raise ClientClosed("the client is closed: make a new one")

    def _room_made(self) -> list[Callable[[], None]]:
        """Whom to tell that there is room: as many as may find some, the others in their turn."""
        room = self._most_frames - self._frames
        return [self._on_room.popleft() for _ in range(min(room, len(self._on_room)))]


def _expire(parcels: list[Parcel]) -> None:
    for parcel in parcels:
        parcel.sink.fail(
            parcel.position,
            parcel.count,
            DeadlineExceeded("the deadline passed before there was an answer"),
        )


def parcel_of(frames: Frames, sink: Sink, deadline: float | None, position: int = 0) -> Parcel:
    """Address frames to a sink.

    Raises:
        InvalidRequest: the deadline is no number of seconds above 0.
    """
    require_deadline(deadline)
    expires = None if deadline is None else time.monotonic() + deadline
    return Parcel(
        frames.frame_bytes, frames.buffer, frames.count, sink, position=position, expires=expires
    )
