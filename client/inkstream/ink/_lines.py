"""The bytes of a file: gunzips it if need be, and reads no more than the limits allow."""

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

    It unpacks piece by piece, so that a small file which unpacks to a huge one costs no more memory than
    one piece, and no more time than `limits.file_bytes`.

    Attributes:
        name: how messages name it.
        limits: how much to read at most.
        taken: bytes read so far.
        passed: lines that `head` has skipped.
    """

    def __init__(self, file: BinaryIO, name: str, limits: Limits) -> None:
        """Look at the first bytes without seeking.

        Args:
            file: opened for binary reading, at its beginning; need not be seekable. The caller closes it.
            name: how messages name it.
            limits: how much to read at most.
        """
        self.name, self.limits = name, limits
        raw = io.BufferedReader(_Raw(file), 1 << 16)
        packed = raw.peek(2)[:2] == _GZIP
        self._file = gzip.GzipFile(fileobj=raw, mode="rb") if packed else raw
        self.taken = self.passed = self._blank = 0

    def head(self) -> bytes:
        """Skip white space and a byte order mark; peek at what follows.

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
        """Read up to `size` bytes; b"" at the end."""
        return self._count(self._take(size, self._file.read))

    def lines(self) -> Iterator[tuple[int, str]]:
        """Read line by line: its number from 1, and its text without the line break.

        Raises:
            InvalidInk: a line is too long or not UTF-8, the file is too long, or cannot be unpacked.
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
                raise self.refuse(f"expected UTF-8 text ({error.reason})", number) from None

    def refuse(self, reason: str, line: int = 0) -> InvalidInk:
        """Make an error that names the file and the line."""
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

    # RawIOBase allows any buffer; BufferedReader passes these.
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # see above
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
