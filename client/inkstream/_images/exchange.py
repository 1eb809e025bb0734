"""Packs the frames of one stream into messages, and matches answers to the callers that wait.

Knows neither sockets nor event loops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from inkstream._exceptions import InkstreamError, ProtocolError, RetryableError, from_item_error
from inkstream._images.frames import UINT8_FRAME
from inkstream._images.outbox import Outbox, Parcel, Waiter
from inkstream._options.retry import RETRIED_ITEMS
from inkstream._results.images import Answers
from inkstream.v1 import recognition_service_pb2 as wire
from inkstream.v1 import tensor_pb2

WINDOW_UNTIL_TOLD = 1024
"""Frames that may be unanswered until a server has said how many."""
WIDEST_WINDOW = 16_384
"""Frames that may be unanswered at most, whatever a server says: 84 MB of floats."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Frames that the server refused for now."""

    parcel: Parcel
    """What to send again."""
    error: RetryableError
    """The server's reason; `retry_after` says when to send it again."""


class Exchange:
    """The frames under way on one stream, from the message that carries them to their answers."""

    def __init__(self, outbox: Outbox, *, item_retries: int = 0) -> None:
        """Start with nothing under way.

        Args:
            outbox: gives the frames, and takes back those that are not answered.
            item_retries: how often one frame may be refused before its caller gets the error.
        """
        self._outbox = outbox
        self._item_retries = item_retries
        self.refusals: list[Refusal] = []
        """Frames to send again; the caller of `receive` takes them out."""
        self.window = self.max_frames_per_message = WINDOW_UNTIL_TOLD
        """The most frames that may be unanswered, and the most in one message; the caller sets them."""
        self._next_sequence = 1
        self._runs: deque[_Run] = deque()
        self.unanswered = 0
        """Frames sent and not yet answered; at most the window."""

    def next_message(self, now: float) -> wire.StreamRecognizeRequest | None:
        """Pack what waits into the next message; None if nothing waits or the window is full."""
        room = min(self.window - self.unanswered, self.max_frames_per_message)
        if room <= 0:
            # A parcel that comes into an empty outbox must wake the writer: there may be room by then.
            self._outbox.rest()
            return None
        parcels = self._outbox.take(room, now)
        if not parcels:
            return None
        first = self._next_sequence
        self._track(parcels)
        pixels = b"".join([parcel.buffer for parcel in parcels])
        tensors = tensor_pb2.Tensors(
            sequences=range(first, self._next_sequence), deadlines_ms=_deadlines_ms(parcels, now)
        )
        if parcels[0].frame_bytes == UINT8_FRAME:
            tensors.uint8 = pixels
        else:
            tensors.float32 = pixels
        return wire.StreamRecognizeRequest(tensors=tensors)

    def receive(self, response: wire.StreamRecognizeResponse) -> None:
        """Deliver the answers in a message to the callers that wait for them.

        Raises:
            ProtocolError: the message answers a frame that is not under way.
        """
        for columns in response.tensors:
            self._deliver(columns)
        for refused in response.errors:
            if refused.WhichOneof("item") != "sequence":
                continue  # `InkExchange` handles it.
            run = self._run_of(refused.sequence)
            position = self._answered(run, refused.sequence - run.first, 1)
            error = from_item_error(refused)
            if self._item_retries and refused.code in RETRIED_ITEMS:
                (parcel,) = run.parcels_of(position, 1)
                if parcel.refusals < self._item_retries:
                    assert isinstance(error, RetryableError), "the table of codes says so"
                    parcel.refusals += 1
                    self.refusals.append(Refusal(parcel, error))
                    continue
            run.waiter.fail(position, 1, error)

    def give_back(self, error: InkstreamError | None = None, most_broken: int = 0) -> None:
        """Put what is under way back into the outbox, in order, for another stream to carry.

        Args:
            error: how the stream broke; None if it did not.
            most_broken: a frame that more streams than this broke under fails with `error`.
        """
        runs, self._runs = self._runs, deque()
        self.unanswered = 0
        kept = []
        for run in runs:
            for parcel in run.parcels_of(run.position, run.count):
                parcel.broken_streams += error is not None
                if error is not None and parcel.broken_streams > most_broken:
                    parcel.waiter.fail(parcel.position, parcel.count, error)
                else:
                    kept.append(parcel)
        self._outbox.put_back(kept)

    def _track(self, parcels: list[Parcel]) -> None:
        """Number the frames; neighbours with one waiter become one run."""
        last: _Run | None = None
        for parcel in parcels:
            count = parcel.count
            if (
                last is not None
                and last.waiter is parcel.waiter
                and last.position + last.count == parcel.position
            ):
                last.count += count
                last.parcels.append(parcel)
            else:
                last = _Run(self._next_sequence, count, parcel.waiter, parcel.position, [parcel])
                self._runs.append(last)
            self._next_sequence += count
            self.unanswered += count

    def _deliver(self, columns: tensor_pb2.TensorResults) -> None:
        sequences = columns.sequences[:]
        rows = len(sequences)
        if len(columns.digits) != rows or len(columns.confidences) != rows:
            raise ProtocolError("the server sent columns of different lengths")
        answers = Answers(columns)
        row = 0
        while row < rows:
            sequence = sequences[row]
            run = self._run_of(sequence)
            skipped = sequence - run.first
            count = min(run.count - skipped, rows - row)
            if sequences[row : row + count] != list(range(sequence, sequence + count)):
                count = 1
            waiter = run.waiter
            position = self._answered(run, skipped, count)
            waiter.deliver(position, answers, row, row + count)
            row += count

    def _run_of(self, sequence: int) -> _Run:
        # Servers answer in order, so it is nearly always the first run.
        for run in self._runs:
            if 0 <= sequence - run.first < run.count:
                return run
        raise ProtocolError(f"the server answered item {sequence}, which is not under way")

    def _answered(self, run: _Run, skipped: int, count: int) -> int:
        """Take answered frames out of a run; returns the waiter's position of the first of them."""
        position = run.position + skipped
        rest = run.count - skipped - count
        self.unanswered -= count
        if skipped and rest:
            behind = skipped + count
            after = _Run(run.first + behind, rest, run.waiter, run.position + behind, run.parcels)
            self._runs.insert(self._runs.index(run) + 1, after)
        if skipped:
            run.count = skipped
        elif rest:
            run.first += count
            run.position += count
            run.count = rest
        else:
            self._runs.remove(run)
        return position


@dataclass(slots=True, eq=False)
class _Run:
    """Frames under way with consecutive sequences and one waiter."""

    first: int
    """The sequence of the first frame."""
    count: int
    waiter: Waiter
    position: int
    """The waiter's position of the first frame."""
    parcels: list[Parcel]
    """The parcels with its frames, by rising position; they may hold answered frames, too."""

    def parcels_of(self, position: int, count: int) -> Iterator[Parcel]:
        """The `count` frames from the waiter's `position` on, as parcels that can be sent again."""
        for parcel in self.parcels:
            begin = max(parcel.position, position)
            end = min(parcel.position + parcel.count, position + count)
            if begin < end:
                yield parcel.part(begin - parcel.position, end - begin)


def _deadlines_ms(parcels: list[Parcel], now: float) -> list[int]:
    """The column of deadlines: empty, one for all frames, or one for each."""
    deadlines = [
        0 if parcel.expires is None else max(1, round((parcel.expires - now) * 1000))
        for parcel in parcels
    ]
    if not any(deadlines):
        return []
    if len(set(deadlines)) == 1:
        return deadlines[:1]
    return [ms for ms, parcel in zip(deadlines, parcels, strict=True) for _ in range(parcel.count)]
