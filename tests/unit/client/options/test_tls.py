from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from inkstream import InvalidRequest, Tls

from tests.certificates import Authority, Pem


@pytest.fixture(scope="module")
def pem() -> Pem:
    return Authority().client()


def test_a_file_without_a_certificate_is_refused_and_field_and_file_are_named(
    tmp_path: Path, pem: Pem
) -> None:
    certificate, key = pem.write(tmp_path, "client")
    with pytest.raises(InvalidRequest, match=r"^ca: .*client\.key holds no certificate in PEM$"):
        Tls.from_files(ca=key)
    with pytest.raises(InvalidRequest, match=r"^certificate: .*client\.key holds no certificate"):
        Tls.from_files(certificate=key, key=key)
    with pytest.raises(InvalidRequest, match=r"^key: .*client\.pem holds no key in PEM"):
        Tls.from_files(certificate=certificate, key=certificate)


def test_a_key_must_match_its_certificate_and_have_no_passphrase(tmp_path: Path, pem: Pem) -> None:
    certificate, key = pem.write(tmp_path, "client")
    _, strange = Authority().client().write(tmp_path, "stranger")
    locked = tmp_path / "locked.key"
    encrypt = ["openssl", "pkcs8", "-topk8", "-v2", "aes256", "-passout", "pass:x"]
    subprocess.run([*encrypt, "-in", str(key), "-out", str(locked)], check=True)
    for wrong in (strange, locked):
        with pytest.raises(InvalidRequest, match=f"^key: .*{wrong.name} holds no key in PEM"):
            Tls.from_files(certificate=certificate, key=wrong)
    assert Tls.from_files(certificate=certificate, key=key).private_key == pem.key


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"root_certificates": b""}, "^root_certificates: holds no certificate in PEM"),
        ({"root_certificates": b"key"}, "^root_certificates: holds no certificate in PEM"),
        ({"root_certificates": "ca.pem"}, "got str; Tls.from_files reads files"),
        ({"certificate_chain": b"x"}, "private_key is None"),
        ({"private_key": b"x"}, "certificate_chain is None"),
        ({"certificate_chain": b"x", "private_key": b"x"}, "^certificate_chain: holds no"),
    ],
)
def test_bytes_are_checked_as_well(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        Tls(**given)


def test_a_certificate_in_place_of_the_key_is_refused(pem: Pem) -> None:
    with pytest.raises(InvalidRequest, match=r"^private_key: holds no key in PEM"):
        Tls(certificate_chain=pem.certificate, private_key=pem.certificate)


def test_a_bundle_with_comments_in_any_encoding_is_accepted(pem: Pem) -> None:
    bundle = b"# N\xe9t\xc3\xa9\n" + Authority().certificate + b"# and \xff\n" + pem.certificate
    assert Tls(root_certificates=bundle).root_certificates == bundle


def test_a_key_is_not_shown(pem: Pem) -> None:
    shown = repr(Tls(certificate_chain=pem.certificate, private_key=pem.key))
    assert repr(pem.certificate) in shown
    assert repr(pem.key) not in shown
    assert "PRIVATE" not in shown
