"""Certificates from PEM files, read again when they change. Knows gRPC's credentials and no settings.

gRPC asks for them at every handshake, in a thread of its own, so that a renewal needs no restart and no
signal. Open connections keep their certificate.
"""

import math
import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import grpc

from inkstream_server import logs
from inkstream_server.process.files import read_regular

MOST_BYTES = 1024 * 1024
"""Largest PEM file: several hundred certificates."""


class TlsError(Exception):
    """Certificates cannot be used; the message names the file and the fix."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Paths of the PEM files. To renew one, write a new file and rename it over the old one."""

    certificate: Path
    """The server's certificate, followed by the chain to its root."""
    key: Path
    """The key of the first certificate, without a passphrase."""
    client_ca: Path | None = None
    """Authority of the clients that may connect (mutual TLS); None lets any client connect."""

    def all(self) -> tuple[Path, ...]:
        """Give all paths that are set."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path)


class Certificates:
    """The certificates that are in use."""

    def __init__(self, files: CertificateFiles) -> None:
        """Read the files.

        Raises:
            TlsError: a file cannot be read, or the files do not match.
        """
        self._files = files
        self._lock = Lock()
        self._stamps = _stamps(files)
        self._first = _read(files)

    def credentials(self) -> grpc.ServerCredentials:
        """Give the credentials to open a port with."""
        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._first,
            self.renewed,  # type: ignore[arg-type]  # The stubs lack None for "unchanged".
            require_client_authentication=self._files.client_ca is not None,
        )
        return credentials

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Give the certificates if the files have changed since the last call; else None.

        May be called from any thread; costs one `stat` for each file. If the new files cannot be used, that
        is logged once for each change, and the certificates before them stay in use.
        """
        with self._lock:
            stamps = _stamps(self._files)
            if stamps == self._stamps:
                return None
            self._stamps = stamps
            try:
                renewed = _read(self._files)
            except TlsError as error:
                logs.get().error("certificates kept", reason=str(error))
                return None
            if _stamps(self._files) != stamps:
                self._stamps = ()  # A file is being written: the next handshake looks again.
                return None
        logs.get().info("certificates renewed", certificate=str(self._files.certificate))
        return renewed


def expiry(certificate: Path) -> float:
    """Give when the first certificate of a PEM file ends, in Unix seconds; NaN if it cannot be read."""
    try:
        read_regular(certificate, MOST_BYTES)  # Raises if reading it would not end.
        # The standard library has no public function that reads a certificate from a file.
        decoded = ssl._ssl._test_decode_cert(str(certificate))  # type: ignore[attr-defined]  # As above.
    except (ssl.SSLError, OSError):
        return math.nan
    return float(ssl.cert_time_to_seconds(decoded["notAfter"]))


def _stamps(files: CertificateFiles) -> tuple[tuple[int, int, int] | None, ...]:
    """Give a state of the files to compare with another; None stands for a missing file."""
    return tuple(map(_stamp, files.all()))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _read(files: CertificateFiles) -> grpc.ServerCertificateConfiguration:
    """Read and check the files. gRPC would refuse them without a reason, and only at the first handshake.

    Raises:
        TlsError: a file cannot be read, or the files do not match.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        certificate, key, *others = [read_regular(path, MOST_BYTES) for path in files.all()]
        # The callback keeps a key with a passphrase from asking for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except ssl.SSLError as error:
        raise TlsError(
            f"tls_cert, tls_key: {files.certificate} and {files.key} are not a certificate and its key "
            f"in PEM without a passphrase ({error.reason or error})"
        ) from error
    except OSError as error:
        settings = zip(("tls_cert", "tls_key", "tls_client_ca"), files.all(), strict=False)
        unreadable = (name for name, path in settings if str(path) == str(error.filename))
        setting = next(unreadable, "tls_cert")
        raise TlsError(
            f"{setting}: cannot read {error.filename} ({error.strerror}): it must exist and be readable"
        ) from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise TlsError(
                f"tls_client_ca: {files.client_ca} holds no certificate in PEM ({error.reason or error})"
            ) from error
    configuration: grpc.ServerCertificateConfiguration = grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=others[0] if others else None
    )
    return configuration
