"""From what the batcher answered to one message: results as columns, refusals as item errors."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from inkstream.v1 import error_pb2, ink_pb2
from inkstream.v1.recognition_service_pb2 import Draining, StreamRecognizeResponse

from inkstream_server.admission import Overloaded, QueueFull, WouldBeLate
from inkstream_server.batching import DeadlineExpired
from inkstream_server.columns import Columns, stream_message
from inkstream_server.computing import EngineFailed
from inkstream_server.metrics import Metrics, Outcome

OUTCOME_OF_CODE: Final[dict[int, Outcome]] = {
    error_pb2.ERROR_CODE_INVALID_ARGUMENT: "invalid",
    error_pb2.ERROR_CODE_DEADLINE_EXCEEDED: "expired",
    error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED: "overloaded",
    error_pb2.ERROR_CODE_UNIMPLEMENTED: "unimplemented",
    error_pb2.ERROR_CODE_INTERNAL: "failed",
}
"""How an item with an error of this code is counted."""

_CODE_OF_EXCEPTION: Final[dict[type[Exception], error_pb2.ErrorCode]] = {
    QueueFull: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    WouldBeLate: error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
    DeadlineExpired: error_pb2.ERROR_CODE_DEADLINE_EXCEEDED,
    EngineFailed: error_pb2.ERROR_CODE_INTERNAL,
}


class Response:
    """A message down a stream while it is put together: columns by hand, all else by protobuf."""

    def __init__(self) -> None:
        """Begin with nothing to say."""
        self.columns: list[Columns] = []
        """Answers to tensors."""
        self._rest = StreamRecognizeResponse()

    @property
    def glyphs(self) -> "RepeatedCompositeFieldContainer[ink_pb2.GlyphResult]":
        """Answers to ink."""
        return self._rest.glyphs

    @property
    def errors(self) -> "RepeatedCompositeFieldContainer[error_pb2.ItemError]":
        """Items that could not be recognised."""
        return self._rest.errors

    def say_draining(self, draining: Draining) -> None:
        """Tell of a drain."""
        self._rest.draining.CopyFrom(draining)

    def to_bytes(self) -> bytes:
        """Give the message as it is sent; empty if there is nothing to say.

        Serialised messages joined end to end are the message that has the fields of both.
        """
        rest = self._rest.SerializeToString()
        return stream_message(self.columns) + rest if self.columns else rest


def count_doubts(columns: Sequence[Columns], metrics: Metrics) -> None:
    """Count answers that should not be trusted, and doubts about images."""
    for entry in columns:
        for reason in filter(None, entry.reasons or ()):
            metrics.rejected(reason)
        for mask in filter(None, entry.warnings or ()):
            metrics.warned(mask)


def refuse(sequences: Sequence[int], failure: Exception) -> list[error_pb2.ItemError]:
    """Turn what the batcher raised for a block into one error for each of its items."""
    code = _CODE_OF_EXCEPTION[type(failure)]
    retry = failure.retry_after_ms if isinstance(failure, Overloaded) else 0
    return [
        error_pb2.ItemError(
            sequence=sequence, code=code, message=str(failure), retry_after_ms=retry
        )
        for sequence in sequences
    ]
