"""From what the batcher answered to one message: results as columns, refusals as item errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1.recognition_service_pb2 import Draining, StreamRecognizeResponse

from inkstream_server.batching.admission import Overloaded, QueueFull, WouldBeLate
from inkstream_server.batching.results import DeadlineExpired, EngineFailed
from inkstream_server.wire.columns import BYTE, Columns, stream_message, varint

_CODE_OF_EXCEPTION: Final[dict[type[Exception], error_pb2.ErrorCode]] = {
    QueueFull: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    WouldBeLate: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    DeadlineExpired: error_pb2.ERROR_CODE_DEADLINE_EXCEEDED,
    EngineFailed: error_pb2.ERROR_CODE_INTERNAL,
}


_ERROR_OF_STREAM: Final = b"\x22"
_SEQUENCE: Final = b"\x08"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Items that end alike: with one error, but for the number that each of them says."""

    sequences: Sequence[int]
    error: error_pb2.ItemError
    """What they end with; names no item."""

    def errors(self) -> list[error_pb2.ItemError]:
        """Write it out, item by item."""
        errors = []
        for sequence in self.sequences:
            error = error_pb2.ItemError(sequence=sequence)
            error.MergeFrom(self.error)
            errors.append(error)
        return errors

    def stream_fields(self) -> bytes:
        """Write the field `errors` of a `StreamRecognizeResponse`, once an item.

        By hand, since who is refused must cost less than who is served: 64 items take a sixth of the time.
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


class Response:
    """A message down a stream while it is put together: most of it by hand, the rest by protobuf."""

    def __init__(self) -> None:
        """Begin with nothing to say."""
        self.columns: list[Columns] = []
        """Answers to tensors."""
        self.refusals: list[Refusal] = []
        """Tensors that were refused together."""
        self._rest = StreamRecognizeResponse()

    @property
    def glyphs(self) -> "RepeatedCompositeFieldContainer[ink_pb2.GlyphResult]":
        """Answers to ink."""
        return self._rest.glyphs

    @property
    def errors(self) -> "RepeatedCompositeFieldContainer[error_pb2.ItemError]":
        """Items that could not be recognised, each with an error of its own."""
        return self._rest.errors

    @property
    def refused(self) -> int:
        """How many items have an error."""
        return len(self._rest.errors) + sum(len(it.sequences) for it in self.refusals)

    def say_draining(self, draining: Draining) -> None:
        """Tell of a drain."""
        self._rest.draining.CopyFrom(draining)

    def to_bytes(self) -> bytes:
        """Give the message as it is sent; empty if there is nothing to say.

        Serialised messages joined end to end are the message that has the fields of both.
        """
        message = self._rest.SerializeToString()
        for refusal in self.refusals:
            message += refusal.stream_fields()
        return stream_message(self.columns) + message if self.columns else message


def refuse(sequences: Sequence[int], failure: Exception) -> Refusal:
    """Turn what the batcher raised for a block into an error for all of its items."""
    code = _CODE_OF_EXCEPTION[type(failure)]
    retry = failure.retry_after_ms if isinstance(failure, Overloaded) else 0
    return Refusal(
        sequences,
        error_pb2.ItemError(code=code, message=str(failure), retry_after_ms=retry),
    )


class Reply(Protocol):
    """One entry of a stream's first-in-first-out."""

    items: int
    """Its weight in the stream's window."""

    def is_complete(self) -> bool:
        """Whether it can be written."""
        ...

    async def ready(self) -> None:
        """Wait until it may be complete. Cancelling harms nothing."""
        ...

    def append(self, response: Response) -> None:
        """Add it to a response, and count it; only when complete."""
        ...

    def withdraw(self) -> None:
        """Give it up: it will never be written."""
        ...
