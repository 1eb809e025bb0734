"""The options of a client, checked, and what they mean for gRPC and for the first message of a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

import grpc

from inkstream._exceptions import InvalidRequest
from inkstream._options.addresses import BALANCED, targets_of
from inkstream._options.checks import require_number
from inkstream._options.connection_events import OnState
from inkstream._options.metadata import Metadata, bearer, metadata_of
from inkstream._options.proxies import proxy_of
from inkstream._options.retry import RetryPolicy
from inkstream._options.tls import Tls
from inkstream.v1 import recognition_service_pb2 as wire
from inkstream.v1 import tensor_pb2

_LABEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,31})?")
"""What the server counts under its own name; it counts every other label as "other"."""
_RETRIES = {
    # gRPC retries calls of one answer only; the client reopens streams itself.
    "name": [
        {"service": "inkstream.v1.RecognitionService", "method": "Recognize"},
        {"service": "inkstream.v1.RecognitionService", "method": "GetModel"},
    ],
    "retryPolicy": {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    },
}


@dataclass(frozen=True, slots=True)
class Options:
    # `ClientBase.__init__` explains the options; an editor would show a docstring of this class instead.

    address: str | Sequence[str]
    _: KW_ONLY
    model: str = ""
    top_k: int = 0
    probabilities: bool = False
    timings: bool = False
    client_label: str = ""
    metadata: Metadata = field(default=(), repr=False)
    tls: Tls | grpc.ChannelCredentials | None = None
    token: str = field(default="", repr=False)
    token_without_tls: bool = False
    connect_timeout: float = 10.0
    packet_ms: float = 20.0
    ink_buffer: int = 250_000
    buffer: int = 65_536
    when_full: Literal["wait", "raise"] = "wait"
    retry: RetryPolicy | None = None
    on_state: OnState | None = None
    channel_options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        targets_of(self.address)
        if not isinstance(self.model, str):
            raise InvalidRequest(f'model: expected a name such as "digits", got {self.model!r}')
        if not isinstance(self.client_label, str) or not _LABEL.fullmatch(self.client_label):
            raise InvalidRequest(
                'client_label: expected at most 32 ASCII letters, digits, ".", "_" and "-", the first a '
                f'letter or digit, such as "kiosk-berlin-7", got {self.client_label!r}'
            )
        require_number("top_k", self.top_k, 0, 10, whole=True)
        require_number("connect_timeout", self.connect_timeout, 0.001, 86_400, " seconds")
        require_number("packet_ms", self.packet_ms, 10, 50, " milliseconds")
        require_number("ink_buffer", self.ink_buffer, 1, unit=" points", whole=True)
        require_number("buffer", self.buffer, 1, unit=" images", whole=True)
        if self.when_full not in ("wait", "raise"):
            raise InvalidRequest(f'when_full: expected "wait" or "raise", got {self.when_full!r}')
        if not isinstance(self.retry, RetryPolicy | None):
            raise InvalidRequest(
                f"retry: expected RetryPolicy(...), got {self.retry!r}; RetryPolicy(attempts=5) tries 5 times"
            )
        if self.on_state is not None and not callable(self.on_state):
            raise InvalidRequest(f"on_state: expected a function or None, got {self.on_state!r}")
        if not isinstance(self.tls, Tls | grpc.ChannelCredentials | None):
            raise InvalidRequest(
                f"tls: expected Tls(...), Tls.from_files(...) or gRPC's own credentials, got {self.tls!r}"
            )
        object.__setattr__(self, "metadata", metadata_of(self.metadata))
        has_token = "authorization" in dict(self.call_metadata)
        if has_token and self.tls is None and not self.token_without_tls:
            raise InvalidRequest(
                "token: goes over TLS only, and tls is None: pass tls=Tls(...), or "
                "token_without_tls=True if nobody can read the connection"
            )

    @property
    def targets(self) -> tuple[str, ...]:
        """The gRPC targets that the address names."""
        return targets_of(self.address)

    @property
    def call_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The metadata of every call, the token included."""
        return (*self.metadata, *bearer(self.token))

    @property
    def retry_policy(self) -> RetryPolicy:
        """When to reconnect and to send again."""
        return self.retry or RetryPolicy()

    def stream_config(self) -> wire.StreamConfig:
        """The first message of a stream."""
        return wire.StreamConfig(
            model=self.model,
            answers=tensor_pb2.AnswerOptions(
                top_k=self.top_k, probabilities=self.probabilities, timings=self.timings
            ),
            client_label=self.client_label,
        )

    def channel_arguments(self, target: str) -> list[tuple[str, Any]]:
        """Give gRPC's channel arguments: keepalive, message sizes, quick reconnects, balancing."""
        config: dict[str, Any] = {"methodConfig": [_RETRIES]}
        if target.startswith(BALANCED):
            config["loadBalancingConfig"] = [{"round_robin": {}}]
        return [
            # Notices a dead peer within 25 s, and keeps middleboxes from dropping idle streams.
            ("grpc.keepalive_time_ms", 15_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.max_send_message_length", 64 << 20),
            ("grpc.max_receive_message_length", 64 << 20),
            # Finds a server soon after it comes back. Despite its name, min_reconnect_backoff limits how
            # long one attempt to connect may take.
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", round(self.connect_timeout * 1000)),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # Finds replaced servers of a name soon; gRPC waits 30 s before it looks a name up again.
            ("grpc.dns_min_time_between_resolutions_ms", 1_000),
            ("grpc.service_config", json.dumps(config)),
            # Gives each client a connection, and so flow control, of its own.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", int(bool(proxy_of(target)))),
            *self.channel_options,
        ]
