"""Finds the fields of a serialised protobuf message without parsing what is in them."""

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

VARINT: Final = 0
"""The wire type of numbers."""
BYTES: Final = 2
"""The wire type of messages, strings and packed columns."""
_FIXED64, _GROUP, _GROUP_END, _FIXED32 = 1, 3, 4, 5

_MOST_DEPTH: Final = 100
"""Groups within groups, as many as protobuf's library takes."""


class Malformed(Exception):
    """Bytes are no message of their type. Says what is wrong, and nothing of what they are."""


MessageT = TypeVar("MessageT", bound=Message)


def parsed(kind: type[MessageT], message: bytes) -> MessageT:
    """Parse a whole message by protobuf's library.

    Raises:
        Malformed: it is none.
    """
    try:
        return kind.FromString(message)
    except DecodeError:
        # The library's own error may repeat what came.
        raise Malformed("protobuf cannot read it") from None


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire_type: int
    start: int
    """Where the field begins, with its tag."""
    value: int
    """Where its value begins, behind the length of bytes."""
    stop: int
    """Where it ends."""


def fields(message: bytes, start: int, stop: int) -> Iterator[Field]:
    """Find the fields of a message that lies in `message[start:stop]`, one at a time.

    Raises:
        Malformed: there is no field where one should begin, or it does not end within the message.
    """
    at = start
    while at < stop:
        field = field_at(message, at, stop)
        yield field
        at = field.stop


def field_at(message: bytes, at: int, stop: int, depth: int = 0) -> Field:
    """Find the field that begins at a place of `message[:stop]`, within so many groups.

    Raises:
        Malformed: see `fields`.
    """
    tag, value = varint_at(message, at, stop)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise Malformed("a field has no number")
    if wire_type == BYTES:
        length, value = varint_at(message, value, stop)
        end = value + length
    elif wire_type == VARINT:
        _, end = varint_at(message, value, stop)
    elif wire_type == _FIXED64:
        end = value + 8
    elif wire_type == _FIXED32:
        end = value + 4
    elif wire_type == _GROUP and depth < _MOST_DEPTH:
        end = _group_end(message, number, value, stop, depth + 1)
    else:
        raise Malformed("a field has no type")
    if end > stop:
        raise Malformed("a field is longer than its message")
    return Field(number, wire_type, at, value, end)


def _group_end(message: bytes, number: int, at: int, stop: int, depth: int) -> int:
    """Give where a group ends, behind its closing tag."""
    while at < stop:
        tag, behind = varint_at(message, at, stop)
        if tag & 7 == _GROUP_END:
            if tag >> 3 != number:
                break
            return behind
        at = field_at(message, at, stop, depth).stop
    raise Malformed("a group does not end")


def varint_at(message: bytes, at: int, stop: int) -> tuple[int, int]:
    """Read a number at a place; gives it, and where the next byte after it lies.

    Raises:
        Malformed: it does not end before `stop`, or has more than ten bytes.
    """
    if at < stop and (byte := message[at]) < 128:
        return byte, at + 1  # Nearly always.
    number = 0
    for place in range(at, min(stop, at + 10)):
        byte = message[place]
        number |= (byte & 127) << 7 * (place - at)
        if byte < 128:
            return number, place + 1
    raise Malformed("a number does not end")
