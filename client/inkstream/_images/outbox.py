"""Holds the images that wait to be sent, as parcels of frames with one waiter each.

Work is done once a parcel, so a caller that brings many frames pays little for each. Knows neither sockets
nor event loops.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from inkstream._exceptions import DeadlineExceeded, InkstreamError
from inkstream._fork import Inheritable
from inkstream._images.frames import Frames
from inkstream._options.checks import require_deadline
from inkstream._results.images import Answers


class Waiter(Protocol):
    """Waits for answers. Its frames have positions, from 0 in the order in which they are sent.

    Every position gets exactly one call of `deliver` or `fail`, in the thread of the connection. Neither may
    raise or block.
    """

    @property
    def is_abandoned(self) -> bool:
        """Whether the caller has given up: frames that were not sent yet are dropped."""

    def deliver(self, position: int, answers: Answers, start: int, stop: int) -> None:
        """Take rows `start` to `stop` as the answers to the positions from `position` on."""

    def fail(self, position: int, count: int, error: InkstreamError) -> None:
        """Take an error for `count` positions from `position` on."""


@dataclass(slots=True, eq=False)
class Parcel:
    """Frames of one kind with one waiter."""

    frame_bytes: int
    buffer: bytes | memoryview
    count: int
    waiter: Waiter
    position: int = 0
    expires: float | None = None
    """The deadline in seconds, on the clock of `take`."""
    broken_streams: int = field(default=0, kw_only=True)
    """How many streams broke while they carried it."""
    refusals: int = field(default=0, kw_only=True)
    """How often a server refused it for now."""

    def is_expired(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return self.expires is not None and self.expires <= now

    def part(self, skip: int, count: int) -> Parcel:
        """Give `count` frames from the one at `skip` on, without a copy."""
        if not skip and count == self.count:
            return self
        start = skip * self.frame_bytes
        return Parcel(
            self.frame_bytes,
            memoryview(self.buffer)[start : start + count * self.frame_bytes],
            count,
            self.waiter,
            self.position + skip,
            self.expires,
            broken_streams=self.broken_streams,
            refusals=self.refusals,
        )


class Outbox(Inheritable):
    """Parcels that wait to be sent. Any thread may put; only the loop of the connection takes."""

    def __init__(self, most_frames: int) -> None:
        """Start empty; `put_if_room` lets at most `most_frames` frames wait."""
        super().__init__()
        self._most_frames = most_frames
        self._lock = threading.Lock()
        self._parcels: deque[Parcel] = deque()
        self._frames = 0
        self._on_room: deque[Callable[[], None]] = deque()
        self._is_asleep = True

    def __len__(self) -> int:
        return len(self._parcels)

    def put(self, parcel: Parcel) -> bool:
        """Append a parcel; returns whether to wake the taker.

        Raises:
            ClientClosed: the client was closed.
        """
        with self._lock:
            self.require_open()
            return self._append(parcel)

    def put_if_room(self, parcel: Parcel, on_room: Callable[[], None] | None) -> bool | None:
        """Append a parcel as `put` does; returns None, and takes nothing, if too much waits already.

        `on_room` is then called once, in the taker's thread, as soon as there is room to try again. A parcel
        larger than the whole buffer is taken when nothing else waits.
        """
        with self._lock:
            self.require_open()
            if self._frames and self._frames + parcel.count > self._most_frames:
                if on_room is not None:
                    self._on_room.append(on_room)
                return None
            return self._append(parcel)

    def put_back(self, parcels: Iterable[Parcel]) -> None:
        """Put parcels that were taken back to the front. The caller wakes the taker.

        They need no room and an open client: they were accepted before.
        """
        with self._lock:
            self._parcels.extendleft(reversed([*parcels]))
            self._frames = sum(parcel.count for parcel in self._parcels)

    def take(self, room: int, now: float) -> list[Parcel]:
        """Take parcels of one kind of frame, at most `room` frames, in order.

        Drops abandoned parcels and fails expired ones. If nothing is left, the next `put` asks to wake the
        taker.
        """
        taken: list[Parcel] = []
        expired: list[Parcel] = []
        with self._lock:
            parcels = self._parcels
            while parcels and room:
                parcel = parcels[0]
                count = parcel.count
                if parcel.waiter.is_abandoned:
                    parcels.popleft()
                elif parcel.is_expired(now):
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
        _finish(expired, _expired(), calls)
        return taken

    def expire(self, now: float) -> None:
        """Fail expired parcels and drop abandoned ones, while there is no stream."""
        with self._lock:
            waiting = [it for it in self._parcels if not it.waiter.is_abandoned]
            expired = [it for it in waiting if it.is_expired(now)]
            self._parcels = deque(it for it in waiting if not it.is_expired(now))
            self._frames = sum(it.count for it in self._parcels)
            calls = self._room_made()
        _finish(expired, _expired(), calls)

    def rest(self) -> bool:
        """Whether nothing waits; if so, the next `put` asks to wake the taker."""
        with self._lock:
            self._is_asleep = not self._parcels
            return self._is_asleep

    def close(self) -> None:
        """Refuse parcels from now on."""
        with self._lock:
            self.is_closed = True
            calls, self._on_room = self._on_room, deque()
        for call in calls:
            call()

    def disown(self) -> None:
        """See `Inheritable`."""
        super().disown()
        self._lock = threading.Lock()

    def fail(self, error: InkstreamError) -> None:
        """Fail everything that waits; the next `put` asks to wake the taker."""
        with self._lock:
            parcels, self._parcels = self._parcels, deque()
            self._frames = 0
            self._is_asleep = True
            calls = self._room_made()
        _finish(parcels, error, calls)

    def _append(self, parcel: Parcel) -> bool:
        self._frames += parcel.count
        self._parcels.append(parcel)
        was_asleep, self._is_asleep = self._is_asleep, False
        return was_asleep

    def _room_made(self) -> list[Callable[[], None]]:
        """The callbacks of as many callers as there is room for; the others come later."""
        room = self._most_frames - self._frames
        return [self._on_room.popleft() for _ in range(min(room, len(self._on_room)))]


def _finish(
    failed: Iterable[Parcel], error: InkstreamError, calls: Iterable[Callable[[], None]]
) -> None:
    """Fail parcels and call back. Outside the lock: the callback of a future may put the next parcel."""
    for parcel in failed:
        parcel.waiter.fail(parcel.position, parcel.count, error)
    for call in calls:
        call()


def _expired() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before there was an answer")


def parcel_of(frames: Frames, waiter: Waiter, deadline: float | None, position: int = 0) -> Parcel:
    """Make a parcel of frames that a waiter sends.

    Raises:
        InvalidRequest: the deadline is not a number of seconds above 0.
    """
    require_deadline(deadline)
    expires = None if deadline is None else time.monotonic() + deadline
    return Parcel(frames.frame_bytes, frames.buffer, frames.count, waiter, position, expires)
