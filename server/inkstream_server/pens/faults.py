"""What a pen did wrong, in the words of the contract."""

from inkstream.v1 import error_pb2

from inkstream_server.access.allowance import Allowance

RETRY_AFTER_MS = 100
"""What a pen without room is told to wait: its neighbours finish a digit or close in some such time."""


class InkFault(Exception):
    """An event that is refused. It harms neither the pen's other ink nor other pens."""

    code = error_pb2.ERROR_CODE_INVALID_ARGUMENT
    retry_after_ms = 0

    def __init__(
        self,
        field: str,
        message: str,
        *,
        glyph: int = 0,
        stroke: int = 0,
    ) -> None:
        """Refuse.

        Args:
            field: the field to blame, as a path in `InkEvent`, for example "points.dy".
            message: what came and what is wanted; the field is put before it.
            glyph: the glyph that it is about, 0 for none.
            stroke: the stroke, alike.
        """
        super().__init__(field, message)
        self.field = field
        self.message = message
        self.glyph = glyph
        self.stroke = stroke

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def to_error(self, pen: int) -> error_pb2.ItemError:
        """Give the error as the pen's caller gets it."""
        return error_pb2.ItemError(
            ink=error_pb2.InkItem(pen=pen, glyph=self.glyph, stroke=self.stroke),
            code=self.code,
            field=self.field,
            message=str(self),
            retry_after_ms=self.retry_after_ms,
        )


class NoRoom(InkFault):
    """An event that the stream has no room for as things stand; later it may have."""

    code = error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED
    retry_after_ms = RETRY_AFTER_MS


class NoAllowance(NoRoom):
    """An event beyond what the caller's token allows a second."""

    def __init__(self, field: str, allowance: Allowance, stroke: int = 0) -> None:
        """Refuse.

        Args:
            field: the field to blame.
            allowance: what is used up.
            stroke: the stroke that it is about, 0 for none.
        """
        super().__init__(field, allowance.exhausted(), stroke=stroke)
        self.retry_after_ms = allowance.retry_after_ms()
