from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from inkstream_server.engines import DIGITS, Engine, Frames, Probabilities
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.model_store import sample as model_sample
from inkstream_server.model_store.sample import SampleError
from inkstream_server.model_store.store import BUNDLED


@pytest.fixture(scope="module")
def engine() -> Engine:
    return LiteRTEngine(BUNDLED / "digits" / "4" / "model.tflite")


def recorded(engine: Engine, **changes: object) -> dict[str, Any]:
    """The entry `sample` of a card, as it is read from its JSON."""
    record = model_sample.record(engine.infer([model_sample.frames()]))
    found: dict[str, Any] = json.loads(json.dumps({**record, **changes}))
    return found


def check(engine: Engine, record: object) -> None:
    model_sample.check(engine, model_sample.frames(), record)


class Spoiled:
    """An engine whose answers a test alters."""

    name, max_rows, in_place_rows = "spoiled", 256, 256

    def __init__(self, engine: Engine, alter: Any) -> None:
        self._engine = engine
        self._alter = alter
        self.pixels = engine.pixels

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        answers: Probabilities = self._alter(self._engine.infer(blocks))
        return answers


def test_the_sample_shows_ten_different_digits_that_a_network_reads(engine: Engine) -> None:
    frames = model_sample.frames()
    assert frames.shape == (DIGITS, 784)
    assert len({frame.tobytes() for frame in frames}) == DIGITS
    # A calculator's 4 and 6 look unlike handwriting; most digits are still recognised.
    assert (engine.infer([frames]).argmax(axis=1) == range(DIGITS)).sum() >= 7


def test_the_sample_is_also_written_as_ten_different_traces() -> None:
    traces = model_sample.traces()
    assert traces.shape == (DIGITS, 448)
    assert len({trace.tobytes() for trace in traces}) == DIGITS
    # A 1 is two strokes straight down; a 0 lifts the pen at no point, because its lines join.
    one, zero = traces[1].reshape(64, 7), traces[0].reshape(64, 7)
    np.testing.assert_allclose(one[:, 3], 1.0, atol=1e-6)
    assert zero[:, 6].all()


def test_a_sound_model_passes_without_a_record(engine: Engine) -> None:
    check(engine, None)


def test_a_sound_model_passes_with_its_own_record(engine: Engine) -> None:
    check(engine, recorded(engine))


def test_the_record_of_another_model_is_noticed(engine: Engine) -> None:
    other = LiteRTEngine(BUNDLED / "digits" / "1" / "model.tflite")
    with pytest.raises(SampleError, match=r"the card records within 0.0001, got a difference of"):
        check(engine, recorded(other))


def test_a_record_states_how_far_a_quantised_network_may_be_from_it(engine: Engine) -> None:
    shifted = Spoiled(engine, lambda answers: 0.96 * answers + 0.004)
    with pytest.raises(SampleError, match=r"within 0\.0001, got a difference of 0\.0"):
        check(shifted, recorded(engine))
    check(shifted, recorded(engine, tolerance=0.05))


@pytest.mark.parametrize(
    ("alter", "expected_text"),
    [
        (lambda answers: answers[:, :9], "expected shape"),
        (lambda answers: answers * np.nan, "with a sum of 1"),
        (lambda answers: answers * 2, "with a sum of 1"),
        (lambda answers: answers - 0.5, "with a sum of 1"),
        (lambda answers: np.roll(answers, len(answers) == 1, axis=1), "a frame alone"),
    ],
)
def test_a_model_is_refused_if_its_answers_are_no_probabilities_or_depend_on_the_batch(
    engine: Engine, alter: Any, expected_text: str
) -> None:
    with pytest.raises(SampleError, match=expected_text):
        check(Spoiled(engine, alter), None)


@pytest.mark.parametrize(
    ("changes", "expected_text"),
    [
        ({"frames": "noise"}, "sample.frames"),
        ({"probabilities": None}, "sample.probabilities"),
        ({"probabilities": [[0.1] * 10]}, "10 x 10"),
        ({"probabilities": [["a"]]}, "ten rows of ten"),
        ({"tolerance": 0.06}, r"sample\.tolerance: expected up to 0\.05, got 0\.06"),
        ({"tolerance": "0.05"}, r"sample\.tolerance"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_by_its_key(
    engine: Engine, changes: dict[str, object], expected_text: str
) -> None:
    with pytest.raises(SampleError, match=expected_text):
        check(engine, recorded(engine, **changes))
    with pytest.raises(SampleError, match=r"sample\.frames"):
        check(engine, [1])
