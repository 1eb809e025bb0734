"""Certificates from PEM files, read again when they are renewed. Knows gRPC's credentials and no settings.

gRPC asks at every handshake, in a thread of its own, so a renewal needs neither a restart nor a signal;
connections that are open keep what they were made with.
"""

import math
import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import grpc

from inkstream_server import logs


class TlsError(Exception):
    """Certificates that cannot be used; the message names the file and what would mend it."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the PEM files lie. Whoever renews them replaces each as a whole (write, then rename)."""

    certificate: Path
    """The server's certificate, and after it those that lead to its root."""
    key: Path
    """The key of the first certificate, without a passphrase."""
    client_ca: Path | None = None
    """Whose clients may connect (mutual TLS); None lets any connect."""

    def all(self) -> tuple[Path, ...]:
        """Give the files that there are."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path)


class Certificates:
    """The certificates that hold now."""

    def __init__(self, files: CertificateFiles) -> None:
        """Read the files.

        Raises:
            TlsError: one cannot be read, or they do not fit together.
        """
        self._files = files
        self._lock = Lock()
        self._stamps = _stamps(files)
        self._first = _read(files)

    def credentials(self) -> grpc.ServerCredentials:
        """Give what a port is opened with."""
        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._first,
            self.renewed,  # type: ignore[arg-type]  # The stubs know nothing of None for "unchanged".
            require_client_authentication=self._files.client_ca is not None,
        )
        return credentials

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Give the certificates if the files have changed since they were last given; else None.

        May be called from any thread; costs a look at each file's time. What cannot be used is logged,
        once for each change, and the certificates before it go on.
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
                self._stamps = ()  # Being written just now: the next handshake looks again.
                return None
        logs.get().info("certificates renewed", certificate=str(self._files.certificate))
        return renewed


def expiry(certificate: Path) -> float:
    """Give when the first certificate of a PEM file ends, in Unix seconds; NaN while it cannot be read."""
    try:
        # Nothing public in the standard library reads a certificate that no connection has brought.
        decoded = ssl._ssl._test_decode_cert(str(certificate))  # type: ignore[attr-defined]  # As above.
    except (ssl.SSLError, OSError):
        return math.nan
    return float(ssl.cert_time_to_seconds(decoded["notAfter"]))


def _stamps(files: CertificateFiles) -> tuple[tuple[int, int, int] | None, ...]:
    """Tell one state of the files from another; None stands for a file that is away."""
    return tuple(map(_stamp, files.all()))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _read(files: CertificateFiles) -> grpc.ServerCertificateConfiguration:
    """Read and check the files: gRPC would refuse them without saying why, and only when a client comes.

    Raises:
        TlsError: one cannot be read, or they do not fit together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
        client_ca = files.client_ca.read_bytes() if files.client_ca else None
        # The callback keeps a key with a passphrase from asking for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except ssl.SSLError as error:
        raise TlsError(
            f"tls_cert, tls_key: {files.certificate} and {files.key} are not a certificate and its key "
            f"in PEM without a passphrase ({error.reason or error})"
        ) from error
    except OSError as error:
        settings = zip(("tls_cert", "tls_key", "tls_client_ca"), files.all(), strict=False)
        guilty = (name for name, path in settings if str(path) == str(error.filename))
        setting = next(guilty, "tls_cert")
        raise TlsError(
            f"{setting}: cannot read {error.filename} ({error.strerror}): it must exist and be readable"
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise TlsError(
                f"tls_client_ca: {files.client_ca} holds no certificate in PEM ({error.reason or error})"
            ) from error
    configuration: grpc.ServerCertificateConfiguration = grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=client_ca
    )
    return configuration
