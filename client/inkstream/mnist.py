"""Reads MNIST from its four published idx files. Fetches those that are missing, and checks them all."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import math
import os
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "FILES",
    "MIRROR",
    "DatasetUnavailable",
    "IdxFile",
    "Split",
    "load",
    "locate",
    "read_idx",
]

Split = Literal["train", "test"]

MIRROR = "https://storage.googleapis.com/cvdf-datasets/mnist/"
"""The public mirror that missing files come from; it serves the bytes of the original site."""

MAX_IDX_BYTES = 256 * 1024 * 1024
"""Bytes that `read_idx` unpacks at most, so that a small hostile gzip file cannot fill the memory. MNIST's
largest file holds 47,040,016."""

_IDX_UINT8 = 0x08
_TIMEOUT_S = 30.0


class DatasetUnavailable(OSError):
    """A file of MNIST is missing and cannot be fetched, or is not the published one.

    The message names the file, the places searched and what to do next.
    """


@dataclass(frozen=True, slots=True)
class IdxFile:
    """A published file of the data set."""

    name: str
    """File name on the mirror and in every folder."""
    sha256: str
    """Digest of the gzip file, hexadecimal."""
    shape: tuple[int, ...]
    """Shape of the uint8 array in it."""


FILES: dict[Split, tuple[IdxFile, IdxFile]] = {
    "train": (
        IdxFile(
            "train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            (60_000, 28, 28),
        ),
        IdxFile(
            "train-labels-idx1-ubyte.gz",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            (60_000,),
        ),
    ),
    "test": (
        IdxFile(
            "t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            (10_000, 28, 28),
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte.gz",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            (10_000,),
        ),
    ),
}
"""The published files of each split: images, then labels."""


def load(
    split: Split, folder: Path | None = None
) -> tuple[
    np.ndarray[tuple[int, int, int], np.dtype[np.uint8]], np.ndarray[tuple[int], np.dtype[np.uint8]]
]:
    """Load one split of MNIST.

    Looks in `folder` if one is given; otherwise in `$INKSTREAM_DATA/mnist`, then in the cache
    (`$XDG_CACHE_HOME/inkstream/mnist`, by default `~/.cache/inkstream/mnist`). Fetches what is missing
    there into the cache. Checks the sha256 of every file.

    Args:
        split: `"train"` (60,000 images) or `"test"` (10,000).
        folder: the only place to look, without the network; None for those above.

    Returns: images uint8 (N, 28, 28), ink high, and labels uint8 (N,), 0 to 9; both read-only.

    Raises:
        DatasetUnavailable: a file is missing, cannot be fetched, or is not the published one.
        ValueError: `split` is not one of the two.
    """
    if split not in FILES:
        raise ValueError(f'split: expected "train" or "test", got {split!r}')
    images, labels = (_load_file(file, folder) for file in FILES[split])
    return images, labels


def locate(folder: Path | None = None) -> Path | None:
    """Give the folder that holds all four files, or None if `load` would have to fetch some.

    Looks for their names only; `load` checks their contents.
    """
    for candidate in _folders(folder):
        if all((candidate / file.name).is_file() for pair in FILES.values() for file in pair):
            return candidate
    return None


def read_idx(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read one idx file of unsigned bytes, packed with gzip or plain.

    Format: two zero bytes, a type byte (0x08 = uint8), the number of dimensions, each size as a
    big-endian uint32, then the values in row-major order.

    Returns: a read-only uint8 array of the shape in the header.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not such a file, is cut short or too long, or unpacks to more than
            `MAX_IDX_BYTES`; the message names the file, what came and what is expected.
    """
    path = Path(path)
    raw = _unpack(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _IDX_UINT8:
        raise ValueError(
            f"{path}: expected an idx file of unsigned bytes (first bytes 00 00 08), "
            f"got {raw[:4].hex(' ') or 'an empty file'}"
        )
    rank = raw[3]
    header = 4 + 4 * rank
    if not 1 <= rank <= 4 or len(raw) < header:
        raise ValueError(
            f"{path}: expected 1 to 4 dimensions and their sizes, "
            f"got {rank} dimensions in a file of {len(raw)} bytes"
        )
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4))
    wanted = math.prod(shape)
    if len(raw) - header != wanted:
        raise ValueError(
            f"{path}: expected {wanted} values for shape {shape}, got {len(raw) - header}"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def _unpack(path: Path) -> bytes:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            raw = stream.read(MAX_IDX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole gzip file, got: {error}") from error
    if len(raw) > MAX_IDX_BYTES:
        raise ValueError(f"{path}: expected at most {MAX_IDX_BYTES} bytes unpacked, got more")
    return raw


def _load_file(file: IdxFile, folder: Path | None) -> npt.NDArray[np.uint8]:
    folders = _folders(folder)
    found = next((where / file.name for where in folders if (where / file.name).is_file()), None)
    if found is None:
        if folder is not None:
            raise DatasetUnavailable(
                f"{file.name}: not in {folder}; put the four MNIST files there, "
                f"or leave out the folder to fetch them from {MIRROR}"
            )
        found = _fetch(file, folders[-1])
    with found.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != file.sha256:
        raise DatasetUnavailable(
            f"{found}: expected sha256 {file.sha256}, got {digest}; "
            f"delete the file and fetch it again from {MIRROR}{file.name}"
        )
    return read_idx(found)


def _folders(folder: Path | None) -> Sequence[Path]:
    """Places to look, in order; without `folder` the last one is the cache."""
    if folder is not None:
        return (Path(folder),)
    shared = os.environ.get("INKSTREAM_DATA")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inkstream" / "mnist"
    return (Path(shared) / "mnist", cache) if shared else (cache,)


def _fetch(file: IdxFile, cache: Path) -> Path:
    """Download a file into the cache, whole or not at all."""
    target, url = cache / file.name, MIRROR + file.name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - MIRROR is https
            packed = reply.read(MAX_IDX_BYTES)
        digest = hashlib.sha256(packed).hexdigest()
        if digest == file.sha256:
            with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
                whole = Path(scratch) / file.name
                whole.write_bytes(packed)
                return whole.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetUnavailable(
            f"{file.name}: not found here, and {url} cannot be read ({error}); put the four MNIST files "
            f"into {cache}, or set INKSTREAM_DATA to the folder that holds mnist/"
        ) from error
    raise DatasetUnavailable(
        f"{url}: expected sha256 {file.sha256}, got {digest}; something between here and the mirror "
        f"changes the file: fetch it elsewhere and put it into {cache}"
    )
