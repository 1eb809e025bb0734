"""One message down a stream: results and errors, as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1.recognition_service_pb2 import Draining, StreamRecognizeResponse

from inkstream_server.batching.admission import Overloaded, QueueFull, WouldBeLate
from inkstream_server.batching.results import DeadlineExpired, EngineFailed
from inkstream_server.wire.packed_results import BYTE, PackedResults, stream_message, varint

_CODE_OF_EXCEPTION: Final[dict[type[Exception], error_pb2.ErrorCode]] = {
    QueueFull: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    WouldBeLate: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    DeadlineExpired: error_pb2.ERROR_CODE_DEADLINE_EXCEEDED,
    EngineFailed: error_pb2.ERROR_CODE_INTERNAL,
}


ERROR_BYTES: Final = 1000
"""Memory of an `ItemError` with its texts, measured as the growth of RSS by 20,000 of them."""

_ERROR_OF_STREAM: Final = b"\x22"
_SEQUENCE: Final = b"\x08"


@dataclass(frozen=True, slots=True)
class SharedError:
    """An error of several items, the same for each but for its sequence number."""

    sequences: Sequence[int]
    error: error_pb2.ItemError
    """The error, without a number."""

    def errors(self) -> list[error_pb2.ItemError]:
        """Give it as an error for each item."""
        errors = []
        for sequence in self.sequences:
            error = error_pb2.ItemError(sequence=sequence)
            error.MergeFrom(self.error)
            errors.append(error)
        return errors

    def stream_fields(self) -> bytes:
        """Write the field `errors` of a `StreamRecognizeResponse`, once an item.

        Written by hand, because a rejection must cost less than an answer: 64 items take a sixth of the time.
        """
        alike = self.error.SerializeToString()
        parts: list[bytes] = []
        # Numbers that follow each other differ in their lowest seven bits, which come first.
        for above, run in groupby(self.sequences, lambda sequence: sequence >> 7):
            rest = varint(above) if above else b""
            length = varint(len(_SEQUENCE) + 1 + len(rest) + len(alike))
            head, tail = _ERROR_OF_STREAM + length + _SEQUENCE, rest + alike
            mark = 128 if above else 0
            for sequence in run:
                parts += (head, BYTE[sequence & 127 | mark], tail)
        return b"".join(parts)


@dataclass(slots=True)
class Response:
    """A `StreamRecognizeResponse` in the making. Large fields are written by hand, the rest by protobuf."""

    results: list[PackedResults] = field(default_factory=list)
    """Answers to tensors."""
    shared_errors: list[SharedError] = field(default_factory=list)
    """Errors of tensors that failed together."""
    errors: list[error_pb2.ItemError] = field(default_factory=list)
    """Items that could not be recognised, each with an error of its own."""
    glyphs: list[ink_pb2.GlyphResult] = field(default_factory=list)
    """Answers to ink."""
    draining: Draining | None = None
    """The drain notice, if it is due."""

    @property
    def error_count(self) -> int:
        """How many items have an error."""
        return len(self.errors) + sum([len(it.sequences) for it in self.shared_errors])

    def to_bytes(self) -> bytes:
        """Serialise the message; empty if it has no field.

        In protobuf, serialised messages joined end to end are one message with the fields of all.
        """
        message = stream_message(self.results) if self.results else b""
        if self.errors or self.glyphs or self.draining:
            message += StreamRecognizeResponse(
                errors=self.errors, glyphs=self.glyphs, draining=self.draining
            ).SerializeToString()
        for shared in self.shared_errors:
            message += shared.stream_fields()
        return message


def shared_error(sequences: Sequence[int], failure: Exception) -> SharedError:
    """Make the error of a block's items from the exception that the batcher raised for it."""
    code = _CODE_OF_EXCEPTION[type(failure)]
    retry = failure.retry_after_ms if isinstance(failure, Overloaded) else 0
    return SharedError(
        sequences,
        error_pb2.ItemError(code=code, message=str(failure), retry_after_ms=retry),
    )
