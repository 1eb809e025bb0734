"""Bytes of a file, unpacked where gzipped and never more than the limits allow."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from inkstream.ink._errors import InvalidInk
from inkstream.ink._limits import Limits

_GZIP = b"\x1f\x8b"
_MARK = b"\xef\xbb\xbf"
_UNPACKABLE = (gzip.BadGzipFile, EOFError, zlib.error)


class Source:
    """A file of ink: its bytes after gunzip, counted.

    Unpacking goes piece by piece, so that a small file which unpacks to a huge one costs no more memory
    than a piece, and no more time than `limits.file_bytes`.

    Attributes:
        name: what messages call it.
        limits: how much is read.
        taken: bytes taken so far.
        passed: lines that `head` has passed over.
    """

    def __init__(self, file: BinaryIO, name: str, limits: Limits) -> None:
        """Look at the first bytes, so `file` need not be seekable.

        Args:
            file: opened for binary reading, at its beginning; stays the caller's to close.
            name: what messages call it.
            limits: how much to read of it.
        """
        self.name, self.limits = name, limits
        raw = io.BufferedReader(_Raw(file), 1 << 16)
        packed = raw.peek(2)[:2] == _GZIP
        self._file = gzip.GzipFile(fileobj=raw, mode="rb") if packed else raw
        self.taken = self.passed = self._blank = 0

    def head(self) -> bytes:
        """Pass over white space and a byte order mark; give what follows without taking it.

        Returns: its first bytes, b"" at the end of the file.
        """
        while opening := self._take(64, self._file.peek, self.passed + 1):
            content = opening if self.taken else opening.removeprefix(_MARK)
            content = content.lstrip()
            before = opening[: len(opening) - len(content)]
            if not before:
                return content
            self.passed += before.count(b"\n")
            self._count(self._file.read(len(before)), self.passed + 1)
        return b""

    def chunk(self, size: int) -> bytes:
        """Take up to `size` bytes; b"" at the end."""
        return self._count(self._take(size, self._file.read))

    def lines(self) -> Iterator[tuple[int, str]]:
        """Take line by line: its number from 1, and its text without the line break.

        Raises:
            InvalidInk: a line is too long or no UTF-8, the file too long, or it cannot be unpacked.
        """
        number = self.passed
        longest = self.limits.line_bytes
        while line := self._take(longest + 2, self._file.readline, number + 1):
            number += 1
            self._count(line, number)
            text = line.rstrip(b"\r\n")
            if len(text) > longest:
                raise self.refuse(f"the line is longer than {longest} bytes", number)
            if not text or text.isspace():
                self._blank += 1
                if self._blank > self.limits.blank_lines:
                    raise self.refuse(f"more than {self.limits.blank_lines} blank lines", number)
            try:
                yield number, text.decode()
            except UnicodeDecodeError as error:
                raise self.refuse(f"no UTF-8 text ({error.reason})", number) from None

    def refuse(self, reason: str, line: int = 0) -> InvalidInk:
        """Make the error that says so, to be raised."""
        return InvalidInk(reason, self.name, line)

    def _take(self, size: int, take: Callable[[int], bytes], line: int = 0) -> bytes:
        try:
            return take(size)
        except _UNPACKABLE as error:
            raise self.refuse(f"cannot be unpacked ({error})", line) from None

    def _count(self, taken: bytes, line: int = 0) -> bytes:
        self.taken += len(taken)
        if self.taken > self.limits.file_bytes:
            raise self.refuse(f"the file is longer than {self.limits.file_bytes} bytes", line)
        return taken


class _Raw(io.RawIOBase):
    """Lets BufferedReader read any binary file without closing it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    # RawIOBase allows any buffer; BufferedReader gives these.
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # see above
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
