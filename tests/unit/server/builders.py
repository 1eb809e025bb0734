"""Stand-ins for tests of the server: engines whose answers show which rows they computed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from inkstream_server.batching.batcher import Batcher
from inkstream_server.batching.dispatcher import Dispatcher
from inkstream_server.batching.observer import Observer
from inkstream_server.batching.results import Kind
from inkstream_server.confidence.rejection import ACCEPT_ALL, RejectRule
from inkstream_server.engines import DIGITS, PIXELS, Engine, Frames, Probabilities, fill
from inkstream_server.metrics.items import Metrics
from inkstream_server.model_store.network import LoadedNetwork
from inkstream_server.model_store.store import Model
from prometheus_client import CollectorRegistry

from tests.patience import PATIENCE_SECONDS

Failure = Literal["raise", "shape", "nan", "none"]


def numbered(ids: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Frames that carry the low 24 bits of their number in three pixels, shape (n, 784)."""
    frames = np.zeros((len(ids), PIXELS), np.uint8)
    frames[:, :3] = [(number >> 16 & 255, number >> 8 & 255, number & 255) for number in ids]
    return frames


def number_of(frames: Frames) -> list[int]:
    """The numbers that `numbered` put into frames."""
    high, middle, low = frames[:, 0], frames[:, 1], frames[:, 2]
    numbers: list[int] = (
        (high.astype(int) << 16) + (middle.astype(int) << 8) + low.astype(int)
    ).tolist()
    return numbers


class NumberEngine:
    """Answers frame number n with 0.9 for digit n % 10, and n / 2**24 for the next digit."""

    name = "number"

    def __init__(self, in_place_rows: int = 256, max_rows: int = 256) -> None:
        self.in_place_rows = in_place_rows
        self.max_rows = max_rows
        self.pixels = np.zeros((0, PIXELS), np.float32)
        self.batches: list[list[int]] = []
        self.failures: dict[int, Failure] = {}
        self.failed: set[int] = set()
        """Numbers of the frames whose batch failed."""
        self._busy = threading.Lock()

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        assert self._busy.acquire(blocking=False), "two calls of the engine overlap"
        try:
            self.pixels = np.zeros((sum(map(len, blocks)), PIXELS), np.float32)
            fill(self.pixels, blocks)
            probabilities: Probabilities = self._infer(blocks)
            return probabilities
        finally:
            self._busy.release()

    def _infer(self, blocks: Sequence[Frames]) -> Any:
        numbers = [number for block in blocks for number in number_of(block)]
        failure = self.failures.get(len(self.batches))
        self.batches.append(numbers)
        if failure is not None:
            self.failed.update(numbers)
        if failure == "raise":
            raise RuntimeError("out of order")
        if failure == "none":
            return None
        rows = np.arange(len(numbers))
        digits = np.array(numbers) % DIGITS
        probabilities = np.zeros((len(numbers), DIGITS), np.float32)
        probabilities[rows, digits] = 0.9
        probabilities[rows, (digits + 1) % DIGITS] = np.array(numbers) / 2**24
        if failure == "nan":
            probabilities[-1, -1] = np.nan
        return probabilities[1:] if failure == "shape" else probabilities


class GatedEngine(NumberEngine):
    """Works in the engine's thread, and finishes a batch when the test releases it."""

    def __init__(self) -> None:
        super().__init__(in_place_rows=0)
        self._begun = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)

    def _infer(self, blocks: Sequence[Frames]) -> Any:
        self._begun.release()
        assert self._gate.acquire(timeout=PATIENCE_SECONDS), "the test did not release the batch"
        return super()._infer(blocks)

    async def begun(self) -> None:
        """Wait until the next batch has begun."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=PATIENCE_SECONDS)

    def release(self, batches: int = 1) -> None:
        self._gate.release(batches)


class GlyphEngine(GatedEngine):
    """Keeps the rows of each batch, of whatever kind, and answers 0.9 for the digit 3."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[npt.NDArray[Any]] = []

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        self._infer([numbered([0])])  # Waits for the test.
        self.rows.append(np.concatenate(blocks))
        answers = np.full((len(self.rows[-1]), 10), 0.1 / 9, np.float32)
        answers[:, 3] = 0.9
        return answers


def network(
    engine: Engine,
    label: str = "number/1",
    rule: RejectRule = ACCEPT_ALL,
    kind: Kind = "image",
    row_ns: int = 1,
) -> LoadedNetwork:
    """A minimal network around an engine."""
    return LoadedNetwork(label, engine, rule, kind, row_ns)


def model_of(engine: Engine, label: str = "digits/1", sha256: str = "abc") -> Model:
    """A minimal model with one network."""
    name, _, version = label.partition("/")
    one = network(engine, label)
    return Model(name, version, sha256, "{}", one, one)


def batcher_of(one: LoadedNetwork, observers: Sequence[Observer], **settings: Any) -> Batcher:
    """A batcher with a dispatcher of its own."""
    return Batcher(Dispatcher(observers, **settings), one)


def numbers_answered(probabilities: Probabilities) -> list[int]:
    """The frames' numbers, decoded from the answers of `NumberEngine`."""
    numbers = []
    for row in probabilities:
        digit = int(row.argmax())
        numbers.append(round(float(row[(digit + 1) % DIGITS]) * 2**24))
    return numbers


def will_not_complain(future: asyncio.Future[Any]) -> bool:
    """Return whether a future is done and asyncio would not log that its exception was never retrieved.

    Asks what asyncio would ask when the future is collected: waiting for that, in a cycle with its
    traceback, would make a test that cannot fail.
    """
    return future.done() and not future._log_traceback


async def turns(count: int = 10) -> None:
    """Run the event loop for some rounds, so that all that needs no wait has happened."""
    for _ in range(count):
        await asyncio.sleep(0)


class Workshop:
    """A batcher with its dispatcher, its engine and its metrics."""

    def __init__(
        self, engine: NumberEngine | None = None, *, max_batch: int = 256, max_queue: int = 16384
    ) -> None:
        self.engine = engine or NumberEngine()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, lambda: self.dispatcher.queue.class_rows)
        self.dispatcher = Dispatcher([self.metrics], max_batch=max_batch, max_queue=max_queue)
        self.batcher = Batcher(self.dispatcher, network(self.engine))

    def value(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, f"no sample {name} {labels}"
        return value

    def ended(self, outcome: str, kind: str = "tensor") -> float:
        return self.value("inkstream_items_total", kind=kind, outcome=outcome)
