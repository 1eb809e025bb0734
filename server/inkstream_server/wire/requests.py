"""Reads the requests of a stream from bytes.

gRPC gives bytes, so that the server knows the size of a message before it decides how to parse it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from inkstream.v1 import tensor_pb2
from inkstream.v1.recognition_service_pb2 import StreamConfig, StreamRecognizeRequest

from inkstream_server.wire.fields import BYTES, Malformed, fields, parsed
from inkstream_server.wire.ink_pieces import PIECE_BYTES, Piece, pieces

MOST_FIELDS: Final = 64
"""Most fields of a large request. The contract has one; the rest is for later versions."""

MOST_PARTS: Final = 2048
"""Most parts of a large unary request: its fields, the strokes of its ink, and the boxes of its pen."""

_CONFIG, _TENSORS, _INK = 1, 2, 3
_REQUEST_INK, _INK_PEN = 4, 1

Ink = Iterable[Piece]
"""Events of pens, each piece parsed when it is asked for; see `ink_pieces.pieces`."""


def read_request(message: bytes) -> StreamConfig | tensor_pb2.Tensors | Ink | None:
    """Give what a serialised `StreamRecognizeRequest` carries; None for nothing.

    Raises:
        Malformed: it is no such message, or has too many fields. Pieces of ink raise it, too.
    """
    if len(message) > PIECE_BYTES:
        return _read_large(message)
    request = parsed(StreamRecognizeRequest, message)
    kind = request.WhichOneof("request")
    if kind == "tensors":
        return request.tensors
    if kind == "ink":
        return (request.ink,)
    return request.config if kind == "config" else None


def require_few_parts(message: bytes) -> None:
    """Check that a `RecognizeRequest` has not very many strokes or boxes, before it is parsed.

    Parsed, empty ones take some 50 times their size. Small messages pass in any case.

    Raises:
        Malformed: there are more than `MOST_PARTS`, or it is no such message.
    """
    if len(message) <= PIECE_BYTES:
        return
    left = MOST_PARTS
    # The message, its ink, and the pen of that; the numbers are the contract's.
    levels = [(0, len(message), _REQUEST_INK)]
    while levels:
        start, stop, inner = levels.pop()
        for field in fields(message, start, stop):
            left -= 1
            if not left:
                raise Malformed(f"it has more than {MOST_PARTS} parts")
            if field.number == inner and field.wire_type == BYTES:
                levels.append((field.value, field.stop, _INK_PEN if inner != _INK_PEN else 0))


def _read_large(message: bytes) -> StreamConfig | tensor_pb2.Tensors | Ink | None:
    """Find the parts of a message before anything is parsed."""
    kind, spans = 0, list[tuple[int, int]]()
    for count, field in enumerate(fields(message, 0, len(message))):
        if count == MOST_FIELDS:
            raise Malformed(f"it has more than {MOST_FIELDS} fields")
        if field.wire_type != BYTES or not _CONFIG <= field.number <= _INK:
            continue
        if field.number != kind:
            kind = field.number  # Of several kinds the last one counts, as for protobuf's library.
            spans.clear()
        spans.append((field.value, field.stop))
    if kind == _INK:
        return _all_pieces(message, spans)
    # Protobuf merges parts that are joined.
    body = b"".join([message[start:stop] for start, stop in spans])
    if kind == _TENSORS:
        return parsed(tensor_pb2.Tensors, body)
    return parsed(StreamConfig, body) if kind == _CONFIG else None


def _all_pieces(message: bytes, spans: Iterable[tuple[int, int]]) -> Iterator[Piece]:
    for start, stop in spans:
        yield from pieces(message, start, stop)
