"""Certificates for tests: an authority, and certificates for localhost and for clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pem:
    """A certificate and its key, as bytes of PEM files."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both as a renewal does: each file appears whole. Gives certificate and key."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            unfinished = path.with_suffix(".new")
            unfinished.write_bytes(content)
            unfinished.replace(path)
        return paths


class Authority:
    """A certificate authority that only tests trust."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.certificate: bytes = self._ca.cert_pem.bytes()

    def server(self, *names: str, ends: datetime | None = None) -> Pem:
        """Make a certificate for these names (default: localhost) that expires after the given time."""
        names = names or ("localhost", "127.0.0.1")
        return self._pem(self._ca.issue_cert(*names, not_after=ends))

    def client(self, name: str = "tablet@school.example") -> Pem:
        return self._pem(self._ca.issue_cert(name))

    @staticmethod
    def _pem(leaf: trustme.LeafCert) -> Pem:
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return Pem(chain, leaf.private_key_pem.bytes())
