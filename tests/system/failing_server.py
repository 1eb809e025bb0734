"""A server whose health check passes and whose calls all fail, with the flags of `serve`."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from inkstream.v1 import recognition_service_pb2_grpc as service_grpc
from inkstream_server.access.tls import CertificateFiles, Certificates
from inkstream_server.process.ready_file import write_ready_file
from inkstream_server.server import SERVICE


class FailingService(service_grpc.RecognitionServiceServicer):
    """Fails every call with UNAVAILABLE, like a server that is gone."""

    async def StreamRecognize(self, _: Any, context: Any) -> NoReturn:
        """Fail."""
        await context.abort(grpc.StatusCode.UNAVAILABLE, "fails every call")
        raise AssertionError


async def serve(flags: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    server = grpc.aio.server()
    service_grpc.add_RecognitionServiceServicer_to_server(FailingService(), server)
    checks = health.aio.HealthServicer()
    await checks.set(SERVICE.full_name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    address = f"{flags.host}:{flags.port}"
    if flags.tls_cert:
        files = CertificateFiles(flags.tls_cert, flags.tls_key, flags.tls_client_ca)
        server.add_secure_port(address, Certificates(files).credentials())
    else:
        server.add_insecure_port(address)
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    write_ready_file(flags.ready_file, address, "")
    await stopping.wait()
    await server.stop(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port")
    for name in ("--tls-cert", "--tls-key", "--tls-client-ca", "--ready-file"):
        parser.add_argument(name, type=Path)
    asyncio.run(serve(parser.parse_known_args()[0]))
