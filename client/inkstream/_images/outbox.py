"""Holds the images that wait to be sent, as parcels of frames with one waiter each.

Work is done once a parcel, so a caller that brings many frames pays little for each. Knows neither sockets
nor event loops.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
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


FRAME_ROOM = 2_832
"""Bytes that may wait for each image of `buffer`: one of a byte a pixel by `submit`, with its future."""
_PARCEL_BYTES = FRAME_ROOM - 784
"""Most bytes of a parcel with its waiter, less its pixels: 2,006 measured for a future."""


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

    @property
    def held(self) -> int:
        """Bytes that it holds, at most."""
        return _PARCEL_BYTES + self.frame_bytes * self.count

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
        """Start empty; `put_if_room` lets `most_frames` frames wait, or FRAME_ROOM bytes for each of them."""
        super().__init__()
        self._most_frames = most_frames
        self._lock = threading.Lock()
        self._parcels: deque[Parcel] = deque()
        self._frames = 0
        self._bytes = 0
        self._held_frames = 0
        self._held_bytes = 0
        self._on_room: dict[Callable[[], None], None] = {}
        self._is_asleep = True
        self._expires = math.inf
        """Nothing that waits expires before."""
        self._looks_again = -math.inf
        self._most_bytes_unswept = most_frames * FRAME_ROOM

    def __len__(self) -> int:
        return len(self._parcels)

    def put(self, parcel: Parcel) -> bool:
        """Append a parcel; returns whether to wake the taker.

        Raises:
            ClientClosed: the client was closed.
        """
        with self._lock:
            self.require_open()
            if self._bytes > self._most_bytes_unswept:
                # While a write is stuck, nothing else drops what readers have abandoned.
                self._replace(it for it in self._parcels if not it.waiter.is_abandoned)
                self._most_bytes_unswept = max(self._most_frames * FRAME_ROOM, 2 * self._bytes)
            return self._append(parcel)

    def put_if_room(self, parcel: Parcel, on_room: Callable[[], None] | None) -> bool | None:
        """Append a parcel as `put` does; returns None, and takes nothing, if too much waits already.

        `on_room` is then called once, in the taker's thread, as soon as there is room to try again; a caller
        that gives up hands it to `forget`. A parcel larger than the whole buffer is taken when nothing else
        waits.
        """
        with self._lock:
            self.require_open()
            if not self._has_room(parcel):
                if on_room is not None:
                    self._on_room[on_room] = None
                return None
            return self._append(parcel)

    def forget(self, on_room: Callable[[], None]) -> None:
        """The caller waits for room no more. If it was called and gave up all the same, calls the next."""
        with self._lock:
            if on_room in self._on_room:
                del self._on_room[on_room]
                return
            calls = self._room_made()
        for call in calls:
            call()

    def hold(self, parcels: Iterable[Parcel]) -> None:
        """Count parcels that the server refused for now, and that come back by `put_back`, as waiting."""
        with self._lock:
            for parcel in parcels:
                self._held_frames += parcel.count
                self._held_bytes += parcel.held

    def put_back(self, parcels: Iterable[Parcel], *, were_held: bool = False) -> None:
        """Put parcels that were taken back to the front. The caller wakes the taker.

        They need no room and an open client: they were accepted before.
        """
        parcels = [*parcels]
        with self._lock:
            if were_held:
                self._held_frames -= sum(parcel.count for parcel in parcels)
                self._held_bytes -= sum(parcel.held for parcel in parcels)
            self._replace((*parcels, *self._parcels))

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
                count, size = parcel.count, parcel.held
                if parcel.waiter.is_abandoned:
                    parcels.popleft()
                elif parcel.is_expired(now):
                    expired.append(parcels.popleft())
                elif taken and parcel.frame_bytes != taken[0].frame_bytes:
                    break
                elif count > room:
                    taken.append(parcel.part(0, room))
                    parcels[0] = parcel.part(room, count - room)
                    size -= parcels[0].held
                    count, room = room, 0
                else:
                    taken.append(parcels.popleft())
                    room -= count
                self._frames -= count
                self._bytes -= size
            self._is_asleep = not parcels and not taken
            calls = self._room_made()
        _finish(expired, _expired(), calls)
        return taken

    def expire(self, now: float) -> None:
        """Fail expired parcels and drop abandoned ones, while no stream takes them.

        Cheap to call often: it looks at them when one may have expired, and once a second.
        """
        with self._lock:
            if now < min(self._expires, self._looks_again):
                return
            self._looks_again = now + 1.0
            waiting = [it for it in self._parcels if not it.waiter.is_abandoned]
            expired = [it for it in waiting if it.is_expired(now)]
            self._replace(it for it in waiting if not it.is_expired(now))
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
            calls, self._on_room = self._on_room, {}
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
            self._replace(())
            calls = self._room_made()
        _finish(parcels, error, calls)

    def _append(self, parcel: Parcel) -> bool:
        self._count(parcel)
        self._parcels.append(parcel)
        was_asleep, self._is_asleep = self._is_asleep, False
        return was_asleep

    def _replace(self, parcels: Iterable[Parcel]) -> None:
        """Have these wait and no others; if there are none, the next `put` asks to wake the taker."""
        self._parcels = deque(parcels)
        self._is_asleep = not self._parcels
        self._frames = self._bytes = 0
        self._expires = math.inf
        for parcel in self._parcels:
            self._count(parcel)

    def _count(self, parcel: Parcel) -> None:
        self._frames += parcel.count
        self._bytes += parcel.held
        if parcel.expires is not None and parcel.expires < self._expires:
            self._expires = parcel.expires

    def _has_room(self, parcel: Parcel) -> bool:
        frames, size = self._frames + self._held_frames, self._bytes + self._held_bytes
        most = self._most_frames
        return not frames or (
            frames + parcel.count <= most and size + parcel.held <= most * FRAME_ROOM
        )

    def _room_made(self) -> list[Callable[[], None]]:
        """Take out the callbacks of as many callers as there is room for; the others come later."""
        left = self._most_frames * FRAME_ROOM - self._bytes - self._held_bytes
        room = min(self._most_frames - self._frames - self._held_frames, left // FRAME_ROOM)
        calls = [*islice(self._on_room, max(0, room))]
        for call in calls:
            del self._on_room[call]
        return calls


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
