"""Files of ink in any format: the content decides how a file is read, the name how it is written."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from inkstream.ink import _inkml, _inkml_writer, _jsonl, _unipen
from inkstream.ink._errors import InvalidInk
from inkstream.ink._ink import Ink
from inkstream.ink._limits import Limits
from inkstream.ink._lines import Source

#: Suffixes that `write` knows, each also with ".gz".
FORMATS = (".jsonl", ".unipen", ".tra", ".dat", ".inkml")

_READERS: dict[bytes, Callable[[Source], Iterator[Ink]]] = {
    b"{": _jsonl.read,
    b".": _unipen.read,
    b"<": _inkml.read,
}


def read(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Iterator[Ink]:
    """Read a file ink by ink, as the caller iterates.

    UNIPEN, InkML or JSON Lines, recognised by the first character; gzip, by the first bytes.

    Args:
        path: the file. It is open until the iterator ends or is closed.
        limits: how much to read at most.

    Raises:
        InvalidInk: the file is malformed, none of the three, or beyond the limits. Inks before the bad
            place have been yielded by then.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        yield from read_from(file, str(path), limits=limits)


def read_from(file: BinaryIO, name: str = "", *, limits: Limits | None = None) -> Iterator[Ink]:
    """Read from an open file, a pipe or standard input, as `read` does.

    Args:
        file: opened for binary reading; need not be seekable. The caller closes it.
        name: how messages name it.
        limits: how much to read at most.
    """
    source = Source(file, name, limits or Limits())
    head = source.head()
    if not head:
        if source.taken:
            raise source.refuse("expected UNIPEN, InkML or JSON Lines, got only white space", 1)
        return
    reader = _READERS.get(head[:1])
    if reader is None:
        raise source.refuse(
            f'expected UNIPEN (".…"), InkML ("<…") or JSON Lines ("{{…"), got {head[:16]!r}', 1
        )
    yield from reader(source)


def write(path: str | os.PathLike[str], inks: Iterable[Ink]) -> int:
    """Write a file of ink in the format of its name, gzipped if that ends in ".gz".

    The same ink gives the same bytes. The file appears when all is written; after an error there is
    none, and an earlier file of that name is unchanged.

    Args:
        path: ends in one of FORMATS, or in one and ".gz".
        inks: what to write; taken one by one.

    Returns: how many inks it wrote.

    Raises:
        InvalidInk: the name has no known suffix, or the format cannot hold an ink.
        OSError: the file cannot be written.
    """
    path = Path(path)
    packed = path.suffix == ".gz"
    suffix = Path(path.stem).suffix if packed else path.suffix
    if suffix not in FORMATS:
        raise InvalidInk(
            f"expected a name that ends in {', '.join(FORMATS)} or one and .gz", str(path)
        )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0

    def counted() -> Iterator[Ink]:
        nonlocal count
        for ink in inks:
            count += 1
            yield ink

    try:
        with unfinished.open("wb") as file:
            if packed:
                # No name and no time in the header: the same ink, the same bytes.
                with gzip.GzipFile("", "wb", 6, file, 0) as body:
                    _write_lines(body, _lines(suffix, counted()))
            else:
                _write_lines(file, _lines(suffix, counted()))
        unfinished.replace(path)
    except InvalidInk as error:
        # An error that names its source comes from the file that `inks` are read from.
        raise error if error.source else InvalidInk(error.reason, str(path)) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _lines(suffix: str, inks: Iterable[Ink]) -> Iterator[str]:
    if suffix == ".jsonl":
        return map(_jsonl.line_of, inks)
    return _inkml_writer.lines_of(inks) if suffix == ".inkml" else _unipen.lines_of(inks)


def _write_lines(file: BinaryIO | gzip.GzipFile, lines: Iterable[str]) -> None:
    for line in lines:
        try:
            file.write(line.encode() + b"\n")
        except UnicodeEncodeError as error:
            raise InvalidInk(f"a text is not Unicode ({error.reason})") from None
