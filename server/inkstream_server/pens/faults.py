"""Why an event of a pen is refused, and the reply that says so."""

from dataclasses import dataclass
from typing import ClassVar

from inkstream.v1 import error_pb2

from inkstream_server.limits.memory_book import Kind
from inkstream_server.metrics.items import OUTCOME_OF_CODE, Metrics
from inkstream_server.wire.response import ERROR_BYTES, Response

NO_ROOM_MS = 100
"""Retry-after of a pen without room: in about that time other pens finish a digit or close."""


class InkFault(Exception):
    """An event is refused. The pen's other ink and other pens are not affected."""

    def __init__(
        self, field: str, message: str, *, glyph: int = 0, stroke: int = 0, retry_after_ms: int = 0
    ) -> None:
        """Refuse.

        Args:
            field: the field to blame, as a path in `InkEvent`, for example "points.dy".
            message: what came and what is expected; `str()` puts the field before it.
            glyph: the number of the glyph, 0 for none.
            stroke: the caller's number of the stroke, 0 for none.
            retry_after_ms: when the event may be accepted; 0 where it is wrong at any time.
        """
        super().__init__(field, message)
        self.field = field
        self.message = message
        self.glyph = glyph
        self.stroke = stroke
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def to_error(self, pen: int) -> error_pb2.ItemError:
        """Give the error that the caller of `pen` gets."""
        code = error_pb2.ERROR_CODE_INVALID_ARGUMENT
        if self.retry_after_ms:
            code = error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
        return error_pb2.ItemError(
            ink=error_pb2.InkItem(pen=pen, glyph=self.glyph, stroke=self.stroke),
            code=code,
            field=self.field,
            message=str(self),
            retry_after_ms=self.retry_after_ms,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FaultReply:
    """Reports one fault when its turn to leave comes. Satisfies `streams.outbox.Reply`."""

    items = 1
    kind: ClassVar[Kind] = "answers"
    size = ERROR_BYTES + 100
    error: error_pb2.ItemError
    metrics: Metrics

    def is_complete(self) -> bool:
        """See `Reply`."""
        return True

    async def ready(self) -> None:
        """See `Reply`."""

    def pack(self) -> None:
        """See `Reply`."""

    def append(self, response: Response) -> None:
        """See `Reply`."""
        response.errors.append(self.error)
        self.metrics.ended("ink", OUTCOME_OF_CODE[self.error.code], 1)

    def withdraw(self) -> None:
        """See `Reply`."""
        self.metrics.ended("ink", "cancelled", 1)
