"""What the sync and the async client have in common: options, outboxes, connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import grpc

from inkstream._connection.connection import Connection
from inkstream._exceptions import Overloaded, ProtocolError, from_item_error
from inkstream._images.outbox import Outbox
from inkstream._options.checks import require_deadline
from inkstream._options.client import Options
from inkstream._options.connection_events import OnState
from inkstream._options.metadata import Metadata, bearer, metadata_of
from inkstream._options.pen import PenOptions
from inkstream._options.retry import RetryPolicy
from inkstream._options.tls import Tls
from inkstream._pens.outbox import InkOutbox
from inkstream._pens.point_coder import StrokeCoder, fit
from inkstream._results.glyphs import GlyphResult
from inkstream.ink import Ink, InvalidInk
from inkstream.v1 import recognition_service_pb2 as wire


class ClientBase:
    """Holds what both clients are made of. See `Client` and `AsyncClient`."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        model: str = "",
        top_k: int = 0,
        probabilities: bool = False,
        timings: bool = False,
        client_label: str = "",
        metadata: Metadata = (),
        tls: Tls | grpc.ChannelCredentials | None = None,
        token: str = "",
        token_without_tls: bool = False,
        connect_timeout: float = 10.0,
        packet_ms: float = 20.0,
        ink_buffer: int = 250_000,
        buffer: int = 65_536,
        when_full: Literal["wait", "raise"] = "wait",
        retry: RetryPolicy | None = None,
        on_state: OnState | None = None,
        channel_options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        """Set up a client. Nothing is connected before its first use.

        Args:
            address: host and port, for example "localhost:50051", or any gRPC target; a port has to be
                named. A list of them for several servers, of which one that fails is followed by the next.
            model: name of the model that should answer, for example "digits", or "digits/3" where no other
                version will do than the one that is served; "" for the server's default.
            top_k: number of best digits in `Result.alternatives`, 0 to 10.
            probabilities: whether results carry the probabilities of all ten digits.
            timings: whether results carry how long they waited and were computed.
            client_label: a short name of the kind of device, for the server's logs and metrics; at most 32
                ASCII letters, digits, ".", "_" and "-", the first a letter or digit.
            metadata: sent with every call, for example `(("x-tenant", "school-7"),)`; keys go out in lower
                case.
            tls: `Tls(...)`, `Tls.from_files(...)` or gRPC's own credentials to encrypt; None for plain
                text.
            token: shown to a server that asks for one, as its file holds it; "" for none.
            token_without_tls: whether the token may go out in plain text, for all on the way to read.
            connect_timeout: seconds until an address that neither answers nor refuses is given up.
            packet_ms: milliseconds that a pen's points wait for others to share their message, 10 to 50.
                Where the pen lifts, they leave at once.
            ink_buffer: points that may wait to be sent, of all pens together, before more are refused.
            buffer: images that may wait to be sent before `submit` and `recognize` wait or fail.
            when_full: "wait" or "raise" Overloaded.
            retry: how patiently to reconnect and send again; None for `RetryPolicy()`.
            on_state: called with a `ConnectionEvent` on every change of the connection, in its thread: it
                must not block.
            channel_options: gRPC channel arguments that replace the client's own.

        Raises:
            InvalidRequest: an option is of the wrong kind or out of range.
        """
        self._options = Options(
            address=address,
            model=model,
            top_k=top_k,
            probabilities=probabilities,
            timings=timings,
            client_label=client_label,
            metadata=(*metadata_of(metadata), *bearer(token)),
            tls=tls,
            token_without_tls=token_without_tls,
            connect_timeout=connect_timeout,
            packet_ms=packet_ms,
            ink_buffer=ink_buffer,
            buffer=buffer,
            when_full=when_full,
            retry=RetryPolicy() if retry is None else retry,
            on_state=on_state,
            channel_options=channel_options,
        )
        self._outbox = Outbox(buffer)
        self._ink = InkOutbox(packet_seconds=packet_ms / 1000, most_points=ink_buffer)
        self._connection = Connection(self._options, self._outbox, self._ink)

    @property
    def address(self) -> str:
        """Where the server is; several with commas between."""
        return ",".join(self._options.targets)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def _pen_options(self, **said: Any) -> PenOptions:
        return PenOptions(timings=self._options.timings, **said)

    def _ink_request(
        self, ink: Ink, alternatives: int, deadline: float | None
    ) -> wire.RecognizeRequest:
        """The unary call for one ink.

        Raises:
            InvalidRequest: an option is out of range.
        """
        if deadline is not None:
            require_deadline(deadline)
        fitted = fit(ink)
        pen = PenOptions(
            y=ink.y,
            units=fitted.units,
            counts_per_unit=fitted.counts_per_unit,
            alternatives=alternatives,
        )
        request = wire.RecognizeRequest(model=self._options.model)
        request.answers.top_k = alternatives
        request.answers.timings = self._options.timings
        request.ink.pen.CopyFrom(pen.opening())
        for stroke in fitted.strokes:
            points = request.ink.strokes.add()
            if len(stroke):
                coder = StrokeCoder(fitted.counts_per_unit, None, has_pressure=False)
                dx, dy, _, _ = coder.points(stroke)
                points.dx.extend(dx)
                points.dy.extend(dy)
        return request

    def _ink_result(self, response: wire.RecognizeResponse) -> GlyphResult:
        """What the unary call for one ink was answered.

        Raises:
            InkstreamError: the ink got no result.
        """
        for refused in response.errors:
            raise from_item_error(refused, invalid=InvalidInk)
        if not response.HasField("glyph"):
            raise ProtocolError("the server answered an ink with neither a result nor an error")
        return GlyphResult.from_wire(response.glyph, timed=self._options.timings)

    def _too_full(self) -> Overloaded:
        return Overloaded(
            f"{self._options.buffer} images wait to be sent: the server does not keep up, or is away; "
            'come more slowly, raise buffer, or choose when_full="wait"'
        )

    def _images_ahead(self) -> int:
        """How far a stream runs ahead of its reader: a window under way and one packed behind."""
        return 2 * self._connection.window
