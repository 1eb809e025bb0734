"""A real server whose engine fails on demand: before every batch it reads a command from a file.

Run as `python -m tests.system.faults.faulty_server serve ...` with INKSTREAM_TEST_FAULT naming the file.
The commands: "" (work normally), "raise", "nan", "shape", "hang", "sleep SECONDS".
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from inkstream_server.cli import main
from inkstream_server.config import ENGINES
from inkstream_server.engines import Frames, Probabilities
from inkstream_server.engines.form import Form
from inkstream_server.engines.litert import LiteRTEngine

PLAN = Path(os.environ["INKSTREAM_TEST_FAULT"])


class FaultyEngine:
    """Satisfies `Engine`: passes calls to another engine unless the plan has a fault."""

    def __init__(self, path: Path, content: bytes, form: Form) -> None:
        engine = LiteRTEngine(path, content, form)
        self._engine = engine
        self.name = engine.name
        self.max_rows = engine.max_rows
        self.in_place_rows = engine.in_place_rows
        self.pixels = np.zeros((0, 784), np.float32)

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        word, _, amount = PLAN.read_text().strip().partition(" ")
        if word == "raise":
            raise RuntimeError("made to fail")
        if word in ("hang", "sleep"):
            # The fault itself: a hung engine blocks its caller.
            time.sleep(float(amount or 3600))
        probabilities = self._engine.infer(blocks)
        self.pixels = self._engine.pixels
        if word == "nan":
            return np.full_like(probabilities, np.nan)
        if word == "shape":
            return probabilities[:, :9]
        return probabilities


# At import, so that spawned workers fail too: spawn imports the main module again.
ENGINES["litert"] = replace(ENGINES["litert"], factory=f"{__name__}:FaultyEngine")

if __name__ == "__main__":
    main()
