"""The server's port: its address, its encryption, and the bounds on one connection."""

from __future__ import annotations  # grpc.RpcMethodHandler takes type arguments in its stubs only.

from typing import Any, Final

import grpc

from inkstream_server import logs
from inkstream_server.access.tls import CertificateFiles, Certificates, TlsError
from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.process.hosts import is_loopback, require_own

HANDSHAKE_MS: Final = 10_000
"""Longest time for TLS and the first HTTP/2 settings of a connection."""

IDLE_CONNECTION_MS: Final = 900_000
"""How long a connection may be open without a call."""

PING_INTERVAL_MS: Final = 10_000
"""A client's pings that come faster, with no data between them, count as strikes. gRPC's default is five
minutes, so it disconnects clients that use keepalive."""

PING_STRIKES: Final = 2
"""Strikes without a consequence; the next one ends the connection."""

LOOKAHEAD_BYTES: Final = 2**20
"""What gRPC reads ahead on a stream, besides the message that is under way. More makes long lines faster and
lets streams that are not read hold more; docs/performance.md gives the measurements."""

KEEPALIVE_MS: Final = 20_000
"""Silence after which the server sends a keepalive ping."""

KEEPALIVE_TIMEOUT_MS: Final = 9_000
"""Timeout of that ping. Together, a cut cable is noticed within 30 s."""

READ_BYTES: Final = 65_536
"""Most bytes read at once from a connection. Larger reads are no faster (measured with unary calls of
50 kB and of 4 MB)."""

MOST_WAITING_CALLS = 50_000
"""Calls that may wait to be accepted. Accepting one takes about 0.2 ms, so all of them take 10 s."""


def options(config: Config, *, shares_port: bool) -> list[tuple[str, int]]:
    """Give the arguments of `grpc.aio.server`."""
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # By default gRPC measures a connection's bandwidth and reads far ahead on each stream.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        # Both are the same, because between the two gRPC rejects at random.
        ("grpc.max_metadata_size", config.max_header_bytes),
        ("grpc.absolute_max_metadata_size", config.max_header_bytes),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.max_concurrent_streams", config.max_streams_per_connection),
        ("grpc.max_connection_idle_ms", IDLE_CONNECTION_MS),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS),
        ("grpc.http2.max_ping_strikes", PING_STRIKES),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Without it a cut cable is noticed after 60 s: another ping under way delays keepalive's, and has a
        # timeout of its own.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # By default gRPC rejects calls at random, as CANCELLED, while more than 1,000 wait, for example
        # when all devices of a site reconnect at once. A waiting call takes a few kB.
        ("grpc.server.max_pending_requests", MOST_WAITING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MOST_WAITING_CALLS),
        # By default gRPC reads up to 4 MB at once from a connection that sends fast.
        ("grpc.experimental.tcp_max_read_chunk_size", READ_BYTES),
        # By default, two servers on one port share its connections without an error.
        ("grpc.so_reuseport", int(shares_port)),
    ]


def add_methods(
    server: grpc.aio.Server, service: str, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
) -> None:
    """Register the methods of a service with a server."""
    # Both ways, because grpcio before 1.84 knows the first only. Methods that are not registered are answered
    # before gRPC looks for handlers; see `event_loop`.
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_registered_method_handlers(service, handlers)


def open_port(server: grpc.aio.Server, config: Config) -> str:
    """Bind the port, with TLS if there is a certificate; give the address as clients write it.

    Raises:
        StartError: the host is not this machine's, the port is taken, or see `credentials_of`.
    """
    host = f"[{config.host}]" if ":" in config.host else config.host
    credentials = credentials_of(config)
    if credentials is None and not is_loopback(config.host):
        logs.get().warning("not encrypted", host=config.host, tokens=config.tokens is not None)
    target = f"{host}:{config.port}"
    try:
        bound = (
            server.add_insecure_port(target)
            if credentials is None
            else server.add_secure_port(target, credentials)
        )
    except RuntimeError as error:
        require_own(config.host)
        raise StartError(
            f"port: cannot listen on {target}; another program may hold it: "
            "choose another --port, or 0 for a free one"
        ) from error
    return f"{host}:{bound}"


def credentials_of(config: Config) -> grpc.ServerCredentials | None:
    """Read the certificates; None for a port without TLS.

    Raises:
        StartError: a certificate cannot be used, or the port is neither encrypted nor on loopback, and
            --insecure-listen is not set.
    """
    if config.tls_cert is None or config.tls_key is None:
        if not config.insecure_listen and not is_loopback(config.host):
            raise StartError(
                f"host: {config.host} can be reached from elsewhere, and nothing is encrypted: give "
                "--tls-cert and --tls-key, or listen on 127.0.0.1, or pass --insecure-listen if the "
                "network is yours"
            )
        return None
    files = CertificateFiles(config.tls_cert, config.tls_key, config.tls_client_ca)
    try:
        return Certificates(files).credentials()
    except TlsError as error:
        raise StartError(str(error)) from error
