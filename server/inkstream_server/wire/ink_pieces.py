"""Parses events of pens in pieces, so that no message takes much memory, or much time at once.

Parsed whole, 4 MB of empty events take more than 100 MB. A `repeated` field may be cut between its elements.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inkstream.v1 import ink_pb2

from inkstream_server.wire.fields import (
    BYTES,
    VARINT,
    Malformed,
    field_at,
    fields,
    parsed,
    varint_at,
)

PIECE_BYTES: Final = 16_384
"""Most bytes of a piece with more than one event."""

PIECE_EVENTS: Final = 256
"""Most events of a piece. To find one takes about a microsecond, and parsed it takes about 60 bytes, whatever
its own size."""

EVENT_BYTES: Final = 4096 * 4 * 5 + 64
"""Most bytes of an event: 4096 points in 4 columns, each number in 5 bytes, and what is around them."""

_MOST_FIELDS_BEFORE_PEN: Final = 16
"""Fields of a long event among which its pen is sought; every known client writes it first."""

_EVENTS, _PEN = 1, 1
_EVENT_TAG = _EVENTS << 3 | BYTES


@dataclass(frozen=True, slots=True)
class LongEvent:
    """An event that is not parsed, because it has more than `EVENT_BYTES`."""

    pen: int
    """The caller's number of the pen; 0 where it was not found."""
    size: int
    """Its bytes."""


Piece = ink_pb2.InkEvents | LongEvent
"""Some events of a message, in their order."""


def pieces(message: bytes, start: int, stop: int) -> Iterator[Piece]:
    """Parse the `InkEvents` in `message[start:stop]`, a piece whenever one is asked for.

    Raises:
        Malformed: what comes next is no field, or the piece is none.
    """
    first, at, events = start, start, 0
    while at < stop:
        begins, is_event = at, True
        if message[at] == _EVENT_TAG and at + 1 < stop and (size := message[at + 1]) < 128:
            at += 2 + size  # Nearly always.
            if at > stop:
                raise Malformed("an event is longer than its message")
        else:
            field = field_at(message, at, stop)
            is_event = field.number == _EVENTS and field.wire_type == BYTES
            at, size = field.stop, field.stop - field.value
            if size > (EVENT_BYTES if is_event else PIECE_BYTES):
                # A long event is refused, and a long field of a later version ignored.
                if first < begins:
                    yield parsed(ink_pb2.InkEvents, message[first:begins])
                if is_event:
                    yield LongEvent(_pen_of(message, field.value, at), size)
                first, events = at, 0
                continue
        if events == PIECE_EVENTS or (events and at - first > PIECE_BYTES):
            yield parsed(ink_pb2.InkEvents, message[first:begins])
            first, events = begins, 0
        events += 1
    if first < stop:
        yield parsed(ink_pb2.InkEvents, message[first:stop])


def _pen_of(message: bytes, start: int, stop: int) -> int:
    for count, field in enumerate(fields(message, start, stop)):
        if field.number == _PEN and field.wire_type == VARINT:
            return varint_at(message, field.value, stop)[0] & 0xFFFF_FFFF
        if count == _MOST_FIELDS_BEFORE_PEN:
            break
    return 0
