import contextlib
import dataclasses
import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inkstream import mnist


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small files in place of the published ones."""
    folder = tmp_path / "published"
    folder.mkdir()
    files = {}
    for split, pair in mnist.FILES.items():
        small = []
        for file in pair:
            array = np.arange(3 * int(np.prod(file.shape[1:])), dtype=np.uint8)
            array = array.reshape(3, *file.shape[1:])
            packed = gzip.compress(idx(array))
            (folder / file.name).write_bytes(packed)
            digest = hashlib.sha256(packed).hexdigest()
            small.append(dataclasses.replace(file, sha256=digest, shape=array.shape))
        files[split] = tuple(small)
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setattr(mnist, "MIRROR", "http://127.0.0.1:9/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("INKSTREAM_DATA", raising=False)
    return folder


@pytest.fixture
def mirror(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serves `published` as the mirror; yields the requested paths."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=published)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(mnist, "MIRROR", f"http://127.0.0.1:{server.server_port}/")
        yield asked
        server.shutdown()
        thread.join()


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=6)), st.booleans())
def test_read_idx_returns_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("idx") / "some.idx"
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    np.testing.assert_array_equal(mnist.read_idx(path), array)


@given(st.sampled_from([b"", b"\0\0\x08", b"\0\0\x08\x03\0\0\0\x01", b"\x1f\x8b\x08"]), st.binary())
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, opening: bytes, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.idx"
    path.write_bytes(opening + content)
    with contextlib.suppress(ValueError):
        mnist.read_idx(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty file"),
        (b"\x89PNG\r\n", "first bytes 00 00 08"),
        (b"\0\0\x0d\x01\0\0\0\1\0\0\0\0", "first bytes 00 00 08"),
        (b"\0\0\x08\0", "1 to 4 dimensions"),
        (b"\0\0\x08\x03\0\0", "1 to 4 dimensions"),
        (b"\0\0\x08\x01\0\0\0\5abc", "expected 5 values for shape (5,), got 3"),
        (b"\0\0\x08\x01\xff\xff\xff\xffabc", "expected 4294967295 values"),
        (b"\0\0\x08\x01\0\0\0\2abc", "expected 2 values for shape (2,), got 3"),
        (gzip.compress(idx(np.zeros(99, np.uint8)), mtime=0)[:-9], "whole gzip file"),
        (b"\x1f\x8bnot gzip at all", "whole gzip file"),
    ],
)
def test_a_bad_idx_file_is_named_with_what_was_found_and_expected(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "bad.idx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected") as caught:
        mnist.read_idx(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_gzip_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "MAX_IDX_BYTES", 1000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(np.zeros(5000, np.uint8))))
    with pytest.raises(ValueError, match="at most 1000 bytes"):
        mnist.read_idx(path)


def test_load_reads_the_given_folder(published: Path) -> None:
    images, labels = mnist.load("test", published)
    assert images.shape == (3, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert labels.tolist() == [0, 1, 2]


def test_load_prefers_the_shared_folder_to_the_cache(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    published.rename(shared / "mnist")
    monkeypatch.setenv("INKSTREAM_DATA", str(shared))
    assert mnist.load("train")[1].tolist() == [0, 1, 2]
    assert mnist.locate() == shared / "mnist"


def test_an_empty_shared_folder_variable_means_the_cache(
    mirror: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INKSTREAM_DATA", "")
    mnist.load("test")
    assert (tmp_path / "cache/inkstream/mnist/t10k-labels-idx1-ubyte.gz").is_file()


def test_missing_files_are_fetched_once_and_leave_nothing_else(
    mirror: list[str], tmp_path: Path
) -> None:
    assert mnist.locate() is None
    first = mnist.load("test")
    second = mnist.load("test")
    np.testing.assert_array_equal(first[0], second[0])
    assert len(mirror) == 2
    left = sorted(path.name for path in (tmp_path / "cache/inkstream/mnist").iterdir())
    assert left == sorted(file.name for file in mnist.FILES["test"])


def test_a_changed_download_is_refused_and_not_kept(
    mirror: list[str], published: Path, tmp_path: Path
) -> None:
    name = mnist.FILES["test"][0].name
    (published / name).write_bytes(b"something else")
    with pytest.raises(mnist.DatasetUnavailable, match="sha256"):
        mnist.load("test")
    assert not list((tmp_path / "cache/inkstream/mnist").iterdir())


def test_a_changed_local_file_is_refused_with_the_fix(published: Path) -> None:
    path = published / mnist.FILES["test"][1].name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(mnist.DatasetUnavailable, match="delete the file") as caught:
        mnist.load("test", published)
    assert str(path) in str(caught.value)


def test_without_a_network_the_error_says_where_to_put_the_files(published: Path) -> None:
    with pytest.raises(mnist.DatasetUnavailable, match="INKSTREAM_DATA"):
        mnist.load("train")


def test_a_given_folder_is_never_filled_from_the_network(mirror: list[str], tmp_path: Path) -> None:
    with pytest.raises(mnist.DatasetUnavailable, match="put the four MNIST files there"):
        mnist.load("train", tmp_path / "empty")
    assert not mirror


def test_an_unknown_split_is_named(published: Path) -> None:
    with pytest.raises(ValueError, match="'validation'"):
        mnist.load("validation", published)  # type: ignore[arg-type]  # what the test is about


def test_the_real_files_match_the_published_counts() -> None:
    if mnist.locate() is None:
        pytest.skip("MNIST is not here: set INKSTREAM_DATA to the folder that holds mnist/")
    images, labels = mnist.load("test")
    assert images.shape == (10_000, 28, 28)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
