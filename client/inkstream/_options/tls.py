"""Checks certificates when they are given: gRPC would report bad ones as a server that does not answer."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc

from inkstream._exceptions import InvalidRequest


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of an encrypted connection, each the bytes of a PEM file."""

    root_certificates: bytes | None = None
    """The authorities to trust; None for the root certificates that gRPC ships."""
    certificate_chain: bytes | None = None
    """The client's certificate, where the server asks for one; needs `private_key`."""
    private_key: bytes | None = field(default=None, repr=False)
    """The key of `certificate_chain`, without a passphrase."""

    @classmethod
    def from_files(
        cls,
        ca: str | os.PathLike[str] | None = None,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Read PEM files.

        Args:
            ca: the authorities to trust; None for the root certificates that gRPC ships.
            certificate: the client's certificate, where the server asks for one; needs `key`.
            key: the key of `certificate`, without a passphrase.

        Raises:
            InvalidRequest: a certificate or a key comes alone, a file holds something else, or the key
                belongs to another certificate.
            OSError: a file cannot be read.
        """
        pems = [Path(path).read_bytes() if path else None for path in (ca, certificate, key)]
        for name, path, pem in (("ca", ca, pems[0]), ("certificate", certificate, pems[1])):
            if pem is not None and not _holds_certificate(pem):
                raise InvalidRequest(f"{name}: {path} holds no certificate in PEM")
        if certificate and key:
            try:
                # The callback stops OpenSSL from asking for a passphrase on the terminal.
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                    certificate, key, password=lambda: ""
                )
            except ssl.SSLError as error:
                raise InvalidRequest(
                    f"key: {key} holds no key in PEM, without a passphrase, of the certificate in "
                    f"{certificate} ({error.reason or error})"
                ) from error
        return cls(*pems)

    def __post_init__(self) -> None:
        if (self.certificate_chain is None) != (self.private_key is None):
            missing = "private_key" if self.private_key is None else "certificate_chain"
            raise InvalidRequest(
                f"tls: a certificate and its key go together, and {missing} is None"
            )
        for name in ("root_certificates", "certificate_chain", "private_key"):
            pem = getattr(self, name)
            if pem is not None and not isinstance(pem, bytes):
                raise InvalidRequest(
                    f"{name}: expected the bytes of a PEM file, got {type(pem).__name__}; "
                    "Tls.from_files reads files"
                )
            if pem is not None and name != "private_key" and not _holds_certificate(pem):
                raise InvalidRequest(f"{name}: holds no certificate in PEM")
        # Only `from_files` can check that it belongs to the certificate: `ssl` loads files only.
        if self.private_key is not None and b"PRIVATE KEY-----" not in self.private_key:
            raise InvalidRequest("private_key: holds no key in PEM")

    def credentials(self, library: Any = grpc) -> grpc.ChannelCredentials:
        """Make gRPC's credentials of them.

        Args:
            library: the module `grpc`, or a copy of it.
        """
        made: grpc.ChannelCredentials = library.ssl_channel_credentials(
            self.root_certificates, self.private_key, self.certificate_chain
        )
        return made


def _holds_certificate(pem: bytes) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Comments between certificates may be in any encoding.
        context.load_verify_locations(cadata=pem.decode("ascii", "replace").replace("\ufffd", "?"))
    except (ssl.SSLError, ValueError):
        # gRPC uses the certificates before the error.
        return context.cert_store_stats()["x509"] > 0
    return True
