"""Requests are read as by protobuf's library, ink in pieces; wrong bytes raise one kind of error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from inkstream.v1 import ink_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import (
    RecognizeRequest,
    StreamConfig,
    StreamRecognizeRequest,
)
from inkstream_server.wire import ink_pieces, requests
from inkstream_server.wire.fields import Malformed
from inkstream_server.wire.ink_pieces import EVENT_BYTES, PIECE_BYTES, LongEvent, Piece
from inkstream_server.wire.packed_results import varint
from inkstream_server.wire.requests import MOST_FIELDS, read_request

NUMBERS = st.integers(0, 2**32 - 1)
SIGNED = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=30)

EVENTS = st.one_of(
    st.builds(ink_pb2.InkEvent, pen=NUMBERS),
    st.builds(
        ink_pb2.InkEvent, pen=NUMBERS, points=st.builds(ink_pb2.Points, dx=SIGNED, dy=SIGNED)
    ),
    st.builds(
        ink_pb2.InkEvent,
        pen=NUMBERS,
        open=st.builds(ink_pb2.PenOpen, counts_per_unit=st.floats(allow_nan=False)),
    ),
    st.builds(ink_pb2.InkEvent, pen=NUMBERS, clear=st.just(ink_pb2.Clear())),
)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


UNKNOWN = st.one_of(
    st.builds(field, st.integers(16, 90), st.binary(max_size=60)),
    st.builds(lambda n, value: varint(n << 3) + varint(value), st.integers(16, 90), NUMBERS),
    st.builds(lambda n, value: varint(n << 3 | 1) + value, st.integers(16, 90), st.just(bytes(8))),
    st.builds(lambda n, value: varint(n << 3 | 5) + value, st.integers(16, 90), st.just(bytes(4))),
    st.builds(
        lambda n, inner: varint(n << 3 | 3) + inner + varint(n << 3 | 4),
        st.integers(16, 90),
        st.builds(lambda value: varint(2 << 3) + varint(value), NUMBERS),
    ),
)
"""Fields of a later version, of every wire type."""

INK = st.lists(
    st.one_of(
        EVENTS.map(lambda event: field(1, event.SerializeToString())),
        UNKNOWN,
        st.just(b"\x0a\x80\x00"),  # An empty event, its length in two bytes.
    ),
    max_size=30,
).map(b"".join)

REQUESTS = st.lists(
    st.one_of(
        st.builds(
            lambda label: field(1, StreamConfig(client_label=label).SerializeToString()),
            st.text(max_size=5),
        ),
        st.builds(
            lambda numbers: field(2, tensor_pb2.Tensors(sequences=numbers).SerializeToString()),
            st.lists(NUMBERS, max_size=5),
        ),
        INK.map(lambda ink: field(3, ink)),
        UNKNOWN,
    ),
    max_size=8,
).map(b"".join)


@contextmanager
def small_pieces() -> Iterator[None]:
    """Take everything apart as if it were large."""
    with ExitStack() as held:
        held.enter_context(patch.object(requests, "PIECE_BYTES", -1))
        held.enter_context(patch.object(ink_pieces, "PIECE_BYTES", 70))
        held.enter_context(patch.object(ink_pieces, "PIECE_EVENTS", 3))
        yield


def joined(pieces: Iterable[Piece]) -> list[ink_pb2.InkEvent]:
    events: list[ink_pb2.InkEvent] = []
    for piece in pieces:
        assert isinstance(piece, ink_pb2.InkEvents)
        events += piece.events
    return events


def check(message: bytes) -> None:
    """Compare with the library; a message that it does not take must be refused, too."""
    try:
        whole = StreamRecognizeRequest.FromString(message)
    except DecodeError:
        with pytest.raises(Malformed):
            request = read_request(message)
            if isinstance(request, Iterable):
                joined(request)
        return
    request = read_request(message)
    kind = whole.WhichOneof("request")
    if kind is None:
        assert request is None
    elif kind == "ink":
        assert isinstance(request, Iterable)
        assert joined(request) == [*whole.ink.events]
    else:
        assert request == getattr(whole, kind)


@given(REQUESTS)
def test_pieces_joined_are_what_the_library_reads(message: bytes) -> None:
    check(message)
    with small_pieces():
        check(message)


@given(REQUESTS, st.data())
def test_damaged_messages_raise_malformed_and_nothing_else(
    message: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(message or b"\x1a\x02\x0a\x00")
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    with small_pieces():
        _read_any(bytes(damaged))
        _read_any(bytes(damaged[:cut]))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_malformed_and_nothing_else(message: bytes) -> None:
    _read_any(message)
    with small_pieces():
        _read_any(message)


def _read_any(message: bytes) -> None:
    try:
        request = read_request(message)
        if isinstance(request, Iterable):
            for _ in request:
                pass
    except Malformed as wrong:
        assert str(wrong)


def large(*events: bytes) -> bytes:
    """A message too large to be parsed whole."""
    return field(3, b"".join(events) + field(50, bytes(PIECE_BYTES + 1)))


def test_an_event_beyond_the_limit_is_not_parsed_and_names_its_pen() -> None:
    within = ink_pb2.InkEvent(pen=1, clear=ink_pb2.Clear()).SerializeToString()
    beyond = b"\x08\x07" + field(4, bytes(EVENT_BYTES))
    unnamed = field(4, bytes(EVENT_BYTES))
    late = field(4, bytes(EVENT_BYTES)) + b"\x08\x09"
    rubbish = b"\x08\x05" + b"\xff" * EVENT_BYTES
    message = large(*(field(1, it) for it in (within, beyond, within, unnamed, late, rubbish)))
    request = read_request(message)
    assert isinstance(request, Iterable)
    found = [piece if isinstance(piece, LongEvent) else len(piece.events) for piece in request]
    assert found == [
        1,
        LongEvent(7, len(beyond)),
        1,
        LongEvent(0, len(unnamed)),
        LongEvent(9, len(late)),
        LongEvent(5, len(rubbish)),
    ]


def test_a_piece_is_small_whatever_a_message_holds() -> None:
    empty, some = (
        b"\x0a\x00" * 50_000,
        field(1, b"\x08\x01" + field(4, field(90, bytes(490)))) * 500,
    )
    request = read_request(field(3, empty + some))
    assert isinstance(request, Iterable)
    count = 0
    for piece in request:
        assert piece.ByteSize() <= PIECE_BYTES  # type: ignore[union-attr]  # no event is long
        count += len(joined([piece]))
        assert len(joined([piece])) <= ink_pieces.PIECE_EVENTS
    assert count == 50_500


def test_a_large_request_of_very_many_fields_is_refused_before_they_are_found() -> None:
    fields = b"\x20\x01" * MOST_FIELDS
    rest = field(90, bytes(PIECE_BYTES))
    assert read_request(rest) is None
    with pytest.raises(Malformed, match="more than 64 fields"):
        read_request(fields + rest)


@pytest.mark.parametrize(
    "content",
    [
        field(4, b"\x12\x00" * 100_000),  # Strokes.
        field(4, field(1, b"\x2a\x00" * 100_000)),  # Boxes.
        field(4, b"\x0a\x00" * 100_000),  # The pen, in parts that protobuf merges.
        b"\x22\x00" * 100_000,  # The ink, likewise.
        b"\x58\x01" * 100_000,  # A later version's fields.
    ],
)
def test_a_unary_request_of_very_many_parts_is_refused_before_it_is_parsed(content: bytes) -> None:
    RecognizeRequest.FromString(content)
    with pytest.raises(Malformed, match="more than 2048 parts"):
        requests.require_few_parts(content)


def test_large_unary_requests_that_are_right_pass() -> None:
    points = ink_pb2.Points(dx=[1] * 2000, dy=[300] * 2000, dt_ms=[10] * 2000)
    boxes = [ink_pb2.Box(box=number) for number in range(1, 257)]
    ink = ink_pb2.Ink(pen=ink_pb2.PenOpen(boxes=boxes), strokes=[points] * 64)
    requests.require_few_parts(RecognizeRequest(ink=ink).SerializeToString())
    images = tensor_pb2.Tensors(sequences=range(1024), uint8=bytes(784 * 1024))
    requests.require_few_parts(RecognizeRequest(tensors=images).SerializeToString())
