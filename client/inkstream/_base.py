"""What the sync and the async client have in common: options, outbox, connection."""

from __future__ import annotations

import time
from typing import Any

import grpc

from inkstream._connection import Connection
from inkstream._exceptions import InvalidRequest
from inkstream._images import Frames
from inkstream._options import Metadata, Options, Tls
from inkstream._outbox import Outbox, Parcel, Sink


class ClientBase:
    """Holds what both clients are made of. See `Client` and `AsyncClient`."""

    def __init__(
        self,
        address: str,
        *,
        model: str = "",
        top_k: int = 0,
        probabilities: bool = False,
        timings: bool = False,
        client_label: str = "",
        metadata: Metadata = (),
        tls: Tls | grpc.ChannelCredentials | None = None,
        connect_timeout: float = 10.0,
        channel_options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        """Set up a client. Nothing is connected before its first use.

        Args:
            address: host and port, for example "localhost:50051", or any gRPC target.
            model: name of the model that should answer; "" for the server's default.
            top_k: number of best digits in `Result.alternatives`, 0 to 10.
            probabilities: whether results carry the probabilities of all ten digits.
            timings: whether results carry how long they waited and were computed.
            client_label: a short name of the kind of device, for the server's logs and metrics.
            metadata: sent with every call, for example `(("authorization", "Bearer ..."),)`.
            tls: `Tls(...)` or gRPC's own credentials to encrypt; None for plain text.
            connect_timeout: seconds until an address that neither answers nor refuses is given up.
            channel_options: gRPC channel arguments that replace the client's own.

        Raises:
            InvalidRequest: an option is out of range.
        """
        self._options = Options(
            address=address,
            model=model,
            top_k=top_k,
            probabilities=probabilities,
            timings=timings,
            client_label=client_label,
            metadata=metadata,
            tls=tls,
            connect_timeout=connect_timeout,
            channel_options=channel_options,
        )
        self._outbox = Outbox()
        self._connection = Connection(self._options, self._outbox)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._options.address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options.address!r})"

    def _images_ahead(self) -> int:
        """How far a stream runs ahead of its reader: a window under way and one packed behind."""
        return 2 * self._connection.window


def parcel_of(frames: Frames, sink: Sink, deadline: float | None, position: int = 0) -> Parcel:
    """Address frames to a sink.

    Raises:
        InvalidRequest: the deadline is not above 0.
    """
    expires = None
    if deadline is not None:
        if not deadline > 0:
            raise InvalidRequest(f"deadline: expected seconds above 0, got {deadline}")
        expires = time.monotonic() + deadline
    return Parcel(
        frames.frame_bytes, frames.buffer, frames.count, sink, position=position, expires=expires
    )
