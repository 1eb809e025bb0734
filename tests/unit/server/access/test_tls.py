from __future__ import annotations

from datetime import UTC, datetime
from math import isnan
from pathlib import Path

import pytest
from inkstream_server import logs
from inkstream_server.access.tls import CertificateFiles, Certificates, TlsError, expiry

from tests.certificates import Authority

AUTHORITY = Authority()


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    certificate, key = AUTHORITY.server().write(tmp_path, "server")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(AUTHORITY.certificate)
    return CertificateFiles(certificate, key, ca)


def test_unchanged_files_give_no_new_certificates(files: CertificateFiles) -> None:
    assert Certificates(files).renewed() is None


def test_a_renewal_is_given_once(files: CertificateFiles) -> None:
    certificates = Certificates(files)
    AUTHORITY.server().write(files.certificate.parent, "server")
    assert certificates.renewed() is not None
    assert certificates.renewed() is None


def test_an_incomplete_renewal_is_skipped_until_it_is_complete(
    files: CertificateFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("text", "info")
    certificates = Certificates(files)
    renewed = AUTHORITY.server()
    files.certificate.write_bytes(renewed.certificate)
    assert certificates.renewed() is None
    assert certificates.renewed() is None
    files.key.write_bytes(renewed.key)
    assert certificates.renewed() is not None
    kept, given = capsys.readouterr().err.splitlines()
    assert 'event="certificates kept"' in kept
    assert 'event="certificates renewed"' in given


def test_a_missing_file_keeps_the_old_certificates(files: CertificateFiles) -> None:
    certificates = Certificates(files)
    content = files.key.read_bytes()
    files.key.unlink()
    assert certificates.renewed() is None
    files.key.write_bytes(content)
    assert certificates.renewed() is not None


def test_files_that_were_cut_at_a_certificate_are_read_again_when_they_are_whole(
    files: CertificateFiles,
) -> None:
    certificates = Certificates(files)
    assert files.client_ca is not None
    whole = AUTHORITY.certificate + Authority().certificate
    for content in (whole, AUTHORITY.certificate, whole):
        files.client_ca.write_bytes(content)
        assert certificates.renewed() is not None
        assert certificates.renewed() is None


def test_an_authority_is_renewed_as_well(files: CertificateFiles) -> None:
    certificates = Certificates(files)
    assert files.client_ca is not None
    files.client_ca.write_bytes(Authority().certificate)
    assert certificates.renewed() is not None


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("server.pem", None, "tls_cert: cannot read .*server.pem .No such file"),
        ("server.key", None, "tls_key: cannot read .*server.key .No such file"),
        ("ca.pem", None, "tls_client_ca: cannot read .*ca.pem .No such file"),
        ("server.pem", b"", "tls_cert, tls_key: .*server.pem and .*server.key are not"),
        ("server.key", AUTHORITY.server().key, "tls_cert, tls_key: .* are not a certificate and"),
        ("ca.pem", b"-----", "tls_client_ca: .*ca.pem holds no certificate"),
        ("ca.pem", b"", "tls_client_ca: .*ca.pem holds no certificate"),
        ("ca.pem", AUTHORITY.certificate[:-40], "tls_client_ca: .*ca.pem holds no certificate"),
        ("ca.pem", bytes((1 << 20) + 1), "tls_client_ca: cannot read .*larger than 1048576 bytes"),
    ],
)
def test_unusable_files_are_named_at_the_start(
    files: CertificateFiles, name: str, content: bytes | None, expected: str
) -> None:
    path = files.certificate.parent / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(TlsError, match=expected):
        Certificates(files)


def test_the_end_of_a_certificate_is_read_and_is_nan_for_a_broken_file(
    files: CertificateFiles,
) -> None:
    assert expiry(files.certificate) == datetime(3000, 1, 1, tzinfo=UTC).timestamp()
    files.certificate.write_bytes(b"no certificate")
    assert isnan(expiry(files.certificate))
