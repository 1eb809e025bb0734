"""Runs a board as a user starts it, and gives real digits to write on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from inkstream.ink import Ink, read

_PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from inkstream.cli import main; main()"
)
"""Restore Ctrl-C, which a program that a shell started in the background ignores."""


@dataclass
class RunningBoard:
    """A board that printed its address."""

    process: subprocess.Popen[str]
    address: str

    def interrupt(self) -> tuple[int, str]:
        """Send SIGINT; return the exit code and stderr."""
        self.process.send_signal(signal.SIGINT)
        _, output = self.process.communicate(timeout=30)
        return self.process.returncode, output


@contextmanager
def running_board(
    server: str | None, *flags: str, environment: Mapping[str, str] = os.environ
) -> Iterator[RunningBoard]:
    """Run a board as long as the block lasts; without a server it starts its own."""
    at = [] if server is None else ["--server", server]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "board", *at, "--no-open", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            _, output = process.communicate(timeout=30)
            pytest.fail(f"the board did not start: {output}")
        yield RunningBoard(process, address)
    finally:
        # Not killed at once: the board stops a server that it started.
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def real_digits(wanted: str) -> list[Ink]:
    """Glyphs of pendigits with these labels, in order, each by another writer."""
    path = Path(os.environ.get("INKSTREAM_DATA", "")) / "pendigits" / "pendigits-orig.tra.gz"
    if not path.is_file():
        pytest.skip("pendigits is not here: set INKSTREAM_DATA to the folder that holds pendigits/")
    # A step of 37, so that consecutive glyphs have different writers.
    inks = [*islice(read(path), 0, 3000, 37)]
    found = []
    for label in wanted:
        ink = next(ink for ink in inks if ink.label == label)
        inks.remove(ink)
        found.append(ink)
    return found


def placed(ink: Ink, left: float, top: float, size: float) -> Sequence[npt.NDArray[np.float64]]:
    """Points of each stroke, y down, in a square of the page."""
    strokes = [points for points in ink.with_y("down").arrays() if len(points)]
    every = np.concatenate(strokes)
    low, extent = every.min(axis=0), np.ptp(every, axis=0)
    scale = size / float(extent.max())
    return [(points - low) * scale + (left, top) for points in strokes]
