"""Reading files that others can write: every kind of file, and every reader in the server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from inkstream_server.access.tls import CertificateFiles, Certificates, TlsError, expiry
from inkstream_server.access.tokens import TokenError, TokenFile
from inkstream_server.cli import main
from inkstream_server.config import BUNDLED
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store import trial
from inkstream_server.model_store.store import ModelError
from inkstream_server.process import files
from inkstream_server.process.files import aside, read_regular

from tests.certificates import Authority
from tests.rooms import ROOT

MOST = 1000


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))  # A path of a socket is short.


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 10**12)


def loop(path: Path) -> None:
    path.symlink_to(path)


def endless_regular(path: Path) -> None:
    """Regular and empty by its size, but it gives text."""
    path.symlink_to("/proc/self/status")


KINDS = [pipe, endless_device, folder, unix_socket, sparse, loop, endless_regular]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("size", [0, 1, MOST])
def test_a_regular_file_is_read_whole(path: Path, size: int) -> None:
    path.write_bytes(b"x" * size)
    assert read_regular(path, MOST) == b"x" * size


def test_a_link_to_a_regular_file_is_followed(path: Path) -> None:
    # Kubernetes mounts each file of a secret as a link to a link.
    path.with_name("content").write_bytes(b"x")
    path.symlink_to("content")
    assert read_regular(path, MOST) == b"x"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_any_other_kind_of_file_is_refused_at_once(
    path: Path, kind: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    kind(path)
    with pytest.raises(OSError) as refused:
        read_regular(path, MOST)
    assert refused.value.filename == str(path)
    assert refused.value.strerror


def test_a_file_larger_than_allowed_is_refused_unread(path: Path) -> None:
    path.write_bytes(b"x" * (MOST + 1))
    with pytest.raises(OSError, match="larger than 1000 bytes"):
        read_regular(path, MOST)


def test_a_pipe_that_takes_the_place_of_a_file_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    check = files._require_regular

    def swap(*looked_at: object) -> None:
        check(*looked_at)  # type: ignore[arg-type]  # passed on as they are
        if path.is_file():
            path.unlink()
            os.mkfifo(path)

    monkeypatch.setattr(files, "_require_regular", swap)
    with pytest.raises(OSError, match="no regular file"):
        read_regular(path, MOST)


async def test_aside_gives_the_result_or_the_error_of_another_thread() -> None:
    assert await aside(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 / 0)


async def test_aside_can_be_cancelled_while_the_function_goes_on() -> None:
    go_on = threading.Event()
    task = asyncio.create_task(aside(go_on.wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()


def test_a_process_ends_although_a_file_system_does_not_answer() -> None:
    program = (
        "import asyncio, threading\nfrom inkstream_server.process.files import aside\n"
        "async def main():\n"
        "    task = asyncio.create_task(aside(threading.Event().wait))\n"
        "    await asyncio.sleep(0)\n"
        "    task.cancel()\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.fixture
def access(tmp_path: Path) -> CertificateFiles:
    certificate, key = Authority().server().write(tmp_path, "server")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority().certificate)
    return CertificateFiles(certificate, key, ca)


def _model(place: Path) -> Path:
    """Put a store around a file that a test replaces; gives the store."""
    store = place.parent
    while store.name != "store":
        store = store.parent
    shutil.copytree(BUNDLED / "digits" / "1", store / "digits" / "3")
    return store


def _read_pin(place: Path) -> None:
    model_store.find(place.parents[1], "digits")


def _read_version(place: Path) -> None:
    model_store.load_folder(place.parent)


def _read_by_engine(place: Path) -> None:
    LiteRTEngine(place)


def _verify(place: Path) -> None:
    async def pass_it(*_: object) -> str:
        return ""

    store = str(place.parents[2])
    for verb, code in (("list", 0), ("verify", 1)):
        with pytest.MonkeyPatch.context() as patched:
            # The trial reads the file of one engine; the command itself reads all.
            patched.setattr(trial, "attempt", pass_it)
            told = CliRunner().invoke(main, ["models", verb, "--model-store", store])
        assert told.exit_code == code, told.output
        assert told.exception is None or isinstance(told.exception, SystemExit)
    raise ModelError(told.output)


STORE_READERS = [
    ("store/digits/serving", _read_pin),
    ("store/digits/3/card.json", _read_version),
    ("store/digits/3/model.tflite", _read_version),
    ("store/digits/3/model.tflite", _read_by_engine),
    ("store/digits/3/model.keras", _verify),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("name", "reader"), STORE_READERS)
def test_every_reader_of_the_store_refuses_every_kind(
    tmp_path: Path,
    name: str,
    reader: Callable[[Path], None],
    kind: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / name
    _model(place)
    place.unlink(missing_ok=True)
    monkeypatch.chdir(place.parent)
    kind(place)
    with pytest.raises((ModelError, OSError)) as refused:
        reader(place)
    assert place.name in str(refused.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_reader_of_access_files_refuses_every_kind(
    access: CertificateFiles,
    tmp_path: Path,
    kind: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    kind(tmp_path / "tokens")
    with pytest.raises(TokenError, match="tokens: cannot read"):
        TokenFile(tmp_path / "tokens")
    certificates = Certificates(access)
    for place in access.all():
        content = place.read_bytes()
        place.unlink()
        kind(place)
        assert certificates.renewed() is None
        with pytest.raises(TlsError, match=f"cannot read {re.escape(str(place))}"):
            Certificates(access)
        assert expiry(place) != expiry(place), "it is no number"
        place.rmdir() if place.is_dir() else place.unlink()
        place.write_bytes(content)


def test_nothing_in_the_server_reads_files_in_another_way() -> None:
    reads = re.compile(r"read_(?:text|bytes)\(|\bopen\(|ZipFile\(|os\.read\(|load_model\(")
    found = {
        f"{path.relative_to(ROOT / 'server/inkstream_server')}: {line.strip()}"
        for path in (ROOT / "server/inkstream_server").rglob("*.py")
        for line in path.read_text().splitlines()
        if reads.search(line) and path.parent.name != "limits"  # The kernel's figures.
    }
    own = {path.split(":")[0] for path in found}
    assert own == {
        "process/files.py",
        "process/status_page.py",  # A page of the package.
        "logs/process.py",  # Descriptors of the process itself.
        "process/confined.py",  # A pipe of its own.
        "engines/keras_archive.py",  # Bytes in memory.
        "engines/keras.py",  # A copy of its own.
        "model_import/sources.py",  # Bytes in memory.
        "model_import/adding.py",  # A temporary folder of its own, as in the next two.
        "model_import/conversion.py",
        "model_import/examination.py",
        "server.py",  # `Server.open`.
        "workers/worker.py",  # As above.
    }, found
