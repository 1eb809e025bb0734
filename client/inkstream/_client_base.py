"""What the sync and the async client share: options, pens, outboxes and the connection."""

from __future__ import annotations

from typing import Generic, TypeVar

from inkstream._connection.connection import Connection
from inkstream._exceptions import DeadlineExceeded, Overloaded, ProtocolError, from_item_error
from inkstream._images.outbox import Outbox
from inkstream._options.arguments import takes
from inkstream._options.checks import require_deadline
from inkstream._options.client import Options
from inkstream._options.pen import PenOptions
from inkstream._pens.base import PenBase
from inkstream._pens.outbox import InkOutbox
from inkstream._pens.point_coder import StrokeCoder, fit
from inkstream._results.glyphs import GlyphResult
from inkstream.ink import Ink, InvalidInk
from inkstream.v1 import recognition_service_pb2 as wire

PenT = TypeVar("PenT", bound=PenBase)
"""`Pen` for a `Client`, `AsyncPen` for an `AsyncClient`."""


class ClientBase(Generic[PenT]):
    """The base of `Client` and `AsyncClient`."""

    _pen_type: type[PenT]

    @takes(Options)
    def __init__(self, options: Options) -> None:  # noqa: D417 - `takes` passes its fields
        """Set up a client. It connects when it is first used.

        Args:
            address: host and port, for example "localhost:50051", or any gRPC target such as "unix:/run/ink".
                A list of them, or a string with commas between them, names several servers: the client
                takes the next one when one fails or stops. gRPC balances targets that stand for several
                servers, "dns:///host:port" and "ipv4:1.2.3.4:5,1.2.3.5:5", round robin.
            model: name of the model that answers, for example "digits"; "" for the server's default.
                "digits/4" also requires version 3.
            top_k: number of best digits in `Result.alternatives`, 0 to 10. Each costs bandwidth.
            probabilities: whether results carry the probabilities of all ten digits.
            timings: whether results carry the seconds that they waited and were computed.
            client_label: a short name for the kind of device, which the server logs and counts: at most 32
                ASCII letters, digits, ".", "_" and "-", the first a letter or digit; "" for none.
            metadata: pairs that go out with every call, for example `(("x-tenant", "school-7"),)`; keys are
                sent in lower case.
            tls: `Tls(...)`, `Tls.from_files(...)` or gRPC's own credentials; None for plain text. `Tls()`
                trusts the root certificates that gRPC ships.
            token: what a server with tokens asks for; "" for none.
            token_without_tls: whether to send the token in plain text, which everybody on the way can read.
            connect_timeout: seconds after which the client gives up an address that does not answer.
            packet_ms: milliseconds that a pen's points wait for others to share their message, 10 to 50.
                When the pen lifts, they leave at once.
            ink_buffer: points of all pens that may wait to be sent; then pens raise Overloaded. They also do
                so when pens, their ink without a final result and the results that nobody has read hold 256
                bytes for each of these points, but at least 1 MB. The default is 40 minutes of one pen, and
                at most 64 MB.
            buffer: images that may wait to be sent; then `submit` and `recognize` do what `when_full` says.
                They also do so when these images hold 2,832 bytes for each. The default takes at most
                186 MB: 65,536 images of `submit` as uint8, or 35,800 as floats. `stream` is limited by its
                reader instead: two windows of images.
            when_full: "wait" waits for room in `buffer`, "raise" raises Overloaded.
            retry: when to reconnect and to send again; None for `RetryPolicy()`.
            on_state: called with a `ConnectionEvent` whenever the connection changes, in the thread of the
                connection: it must not block.
            channel_options: gRPC channel arguments, which override those of the client.

        Raises:
            InvalidRequest: an option has the wrong type or is out of range.
            TypeError: there is no such option.
        """
        self._options = options
        self._outbox = Outbox(options.buffer)
        self._ink = InkOutbox(
            packet_seconds=options.packet_ms / 1000, most_points=options.ink_buffer
        )
        self._connection = Connection(options, self._outbox, self._ink)

    @takes(PenOptions)
    def pen(self, options: PenOptions) -> PenT:  # noqa: D417 - `takes` passes its fields
        """Make a pen, which recognises digits while somebody writes them.

        All pens of a client share its stream. A pen sends nothing before its first stroke.

        Args:
            y: which way y grows: "down" as on screens, "up" as on many tablets.
            units: "px", "mm", or None where the size of a unit is unknown.
            counts_per_unit: steps per unit to which coordinates are rounded; None for 100 with millimetres,
                else for 16. Raise it where a whole digit is only a few units high.
            area: x, y, width and height of the writing area, in units; None if unknown.
            boxes: areas that take one digit each, like the boxes of a form: by number, or in order,
                numbered from 1. `GlyphResult.box` gives the number.
            quiet_ms: pause in milliseconds after which a digit is final, 1 to 60,000; None for the
                server's choice, which is 600 by default.
            short_quiet_ms: the same pause for digits that rarely get another stroke (0 2 3 6 8 9), at most
                `quiet_ms`; None for `quiet_ms` or, where that is None too, for the server's choice, which
                is 250 by default.
            interims_per_second: results per second while the pen is down, at most; 0 for none. A later
                result of the digit replaces one that nobody has read.
            alternatives: number of best digits in each result, 0 to 10.
            on_result: called with each result and each error; iterating the pen then yields nothing. Runs
                in the thread of the connection, or in the event loop of an `AsyncClient`: it must not block.

        Returns: a `Pen`, or the `AsyncPen` of an `AsyncClient`. Use it in a `with` statement (`async with`)
            or close it.

        Raises:
            InvalidRequest: an option has the wrong type or is out of range.
            TypeError: there is no such option.
            Overloaded: the client's pens hold too much, see `ink_buffer`.
            ClientClosed: the client is closed.
        """
        opening = options.opening(timings=self._options.timings)
        return self._pen_type(self._ink, opening, self._wake, options.on_result)

    @property
    def address(self) -> str:
        """The server's gRPC target; several are separated by commas."""
        return ",".join(self._options.targets)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def _ink_request(
        self, ink: Ink, alternatives: int, deadline: float | None
    ) -> wire.RecognizeRequest:
        """Make the request that recognises one ink.

        Raises:
            InvalidRequest: an option is out of range.
        """
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
        request.ink.pen.CopyFrom(pen.opening(timings=False))
        for stroke in fitted.strokes:
            coder = StrokeCoder(fitted.counts_per_unit, None, has_pressure=False)
            dx, dy, *_ = coder.points(stroke) if len(stroke) else ((), ())
            request.ink.strokes.add(dx=dx, dy=dy)
        return request

    def _ink_result(self, response: wire.RecognizeResponse) -> GlyphResult:
        """Read the answer to `_ink_request`.

        Raises:
            InkstreamError: the ink got no result.
        """
        for refused in response.errors:
            raise from_item_error(refused, invalid=InvalidInk)
        if not response.HasField("glyph"):
            raise ProtocolError(
                "the server answered ink with neither a result nor an error; is it as new as this client?"
            )
        return GlyphResult.from_wire(response.glyph, timed=self._options.timings)

    def _wake(self) -> None:
        """Let the connection send what waits."""
        raise NotImplementedError

    def _too_full(self) -> Overloaded:
        return Overloaded(
            f"buffer: {self._options.buffer} images wait to be sent, as the server is away or does not keep "
            'up; send fewer, raise buffer, or choose when_full="wait"'
        )

    def _no_room(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            "no room to send the image in time; allow more time, or raise buffer"
        )

    def _images_ahead(self) -> int:
        """Images that a stream reads ahead: one window that is sent, and one that waits behind it."""
        return 2 * self._connection.window
