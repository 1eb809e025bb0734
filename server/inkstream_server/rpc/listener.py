"""The port of a server: who may reach it, how it is encrypted, and what one connection may do."""

from typing import Final

import grpc

from inkstream_server import logs
from inkstream_server.access.tls import CertificateFiles, Certificates, TlsError
from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.process.hosts import is_loopback, require_own

HANDSHAKE_MS: Final = 10_000
"""How long a connection may take over TLS and the first HTTP/2 settings."""

IDLE_CONNECTION_MS: Final = 900_000
"""How long a connection may be open without a call."""

PING_INTERVAL_MS: Final = 10_000
"""Pings of a client that come closer together, with nothing else, count as strikes. gRPC's default tolerates
one in five minutes, and then hangs up on clients that keep their connections alive."""

PING_STRIKES: Final = 2
"""Strikes that are overlooked; the next one ends the connection."""

KEEPALIVE_MS: Final = 20_000
"""Silence after which the server asks whether a client is still there."""

KEEPALIVE_TIMEOUT_MS: Final = 9_000
"""What the client gets to answer. A cut cable is noticed within 30 s, both together."""

MOST_WAITING_CALLS = 50_000
"""Calls that may arrive at once; a stream takes about 0.2 ms to be taken up, so all of these 10 s."""


def options(config: Config, *, shares_port: bool) -> list[tuple[str, int]]:
    """Give the arguments of `grpc.aio.server`."""
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # Both, since between the two gRPC refuses at random.
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
        # Without it a cut cable was noticed after 60 s: a ping under way for other reasons keeps
        # keepalive from sending its own, and has a timeout of its own.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # gRPC refuses calls at random, as CANCELLED, while more than 1,000 wait to be taken up, as
        # when all devices of a site come back at once. A call that waits is a few kB.
        ("grpc.server.max_pending_requests", MOST_WAITING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MOST_WAITING_CALLS),
        # Unasked, two servers on one port would share its connections without a word.
        ("grpc.so_reuseport", int(shares_port)),
    ]


def open_port(server: grpc.aio.Server, config: Config) -> str:
    """Take the port, encrypted where there is a certificate; give the address as clients write it.

    Raises:
        StartError: the host is elsewhere, the port is taken, a certificate cannot be used, or others
            could reach a port that is not encrypted and nobody said that they may.
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
    """Read the certificates; None where nothing is encrypted, and nothing need be.

    Raises:
        StartError: a certificate cannot be used, or others could reach a port that is not encrypted and
            nobody said that they may.
    """
    if config.tls_cert is None or config.tls_key is None:
        if not config.insecure_listen and not is_loopback(config.host):
            raise StartError(
                f"host: {config.host} can be reached from elsewhere, and nothing is encrypted: give "
                "--tls-cert and --tls-key, or listen on 127.0.0.1, or say --insecure-listen where the "
                "network is yours"
            )
        return None
    files = CertificateFiles(config.tls_cert, config.tls_key, config.tls_client_ca)
    try:
        return Certificates(files).credentials()
    except TlsError as error:
        raise StartError(str(error)) from error
