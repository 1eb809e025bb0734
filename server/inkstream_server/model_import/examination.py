"""Converts, tries and measures a network in a process of its own, since its file may crash what reads it.

The other process writes lines of JSON to stdout: its steps as they begin, and at the end its findings or the
problem. It writes `model.tflite`, and `model.keras` if it got one, into the folder that it was given.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from inkstream_server.confidence.calibration import (
    KEPT_OF_DIGITS,
    UNSURE_ERROR,
    fit_temperature,
    threshold_keeping,
    threshold_of_error,
)
from inkstream_server.config import ENGINES
from inkstream_server.engines import Engine, Frames, tflite_file
from inkstream_server.engines.form import Form
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.errors import shown
from inkstream_server.model_import import samples
from inkstream_server.model_import.guesses import guess, require_digits
from inkstream_server.model_import.sources import SourceError
from inkstream_server.model_store import sample as model_sample
from inkstream_server.process import confined

SOURCE: Final = "source"
"""Name of the file to examine in the folder, before its suffix."""

SECONDS: Final = 900.0
"""How long an examination may take. A large network takes a minute."""

_IMAGES_BYTES: Final = 2 * 1024**3
"""Memory for images to calibrate with, beside that of a trial."""

_MOST_LINE: Final = 200_000
"""Most bytes of a line from the other process."""

MOST_LAYERS: Final = 300
"""Most layers that a card lists."""

LEAST_FITTED: Final = 100
"""Least labelled images by which a temperature is fitted."""

LEAST_CHOSEN: Final = 1000
"""Least labelled images by which thresholds are chosen: one that at most 0.75 % of the answers may miss."""

PARITY: Final = 0.005
"""Largest difference of a probability between both files of a network."""

_CLOSE: Final = 1e-3
"""Least tolerance of the built-in sample, since processors round large logits in different ways."""

_RUNS: Final = 50
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Findings:
    """What an examination found."""

    shape: tuple[int, ...]
    """Shape of an image as the network takes it."""
    high: int
    """Value of full ink in its input."""
    gives_logits: bool
    """Whether a softmax is added."""
    accuracy_of_drawn: dict[str, float]
    """Share of drawn digits that it reads, by the value of full ink that was tried."""
    layers: tuple[str, ...]
    """Its layers, or its operators if only LiteRT's are known."""
    weights: int
    """Number of its weights."""
    is_quantised: bool
    """Whether it computes in eight bits."""
    difference: float | None
    """Largest difference of a probability between `model.keras` and `model.tflite`; None for one file."""
    sample: dict[str, Any]
    """Its answers to the built-in sample, for the card."""
    latency_us: dict[str, float]
    """Median time of a batch of 1 and of 64, in microseconds."""
    libraries: dict[str, str]
    """Versions of what converted it."""
    calibration: dict[str, Any] | None = None
    """Figures on the given images: `images`, `accuracy`, `temperature`, and from 1,000 on `reject`."""


def examine(
    folder: Path,
    pixels: int | None,
    images: tuple[Path, Path] | None,
    step: Callable[[str], object],
) -> dict[str, Any]:
    """Examine a file in another process.

    Args:
        folder: has the file `source.keras` or `source.tflite`.
        pixels: the value of full ink; None to tell it.
        images: files with images and labels to calibrate with.
        step: is called with each step, as it begins.

    Returns: the fields of `Findings`.

    Raises:
        SourceError: the network cannot be served, crashed the other process, or took too long; says which.
    """
    left = b""

    def heard(some: bytes) -> None:
        nonlocal left
        *lines, left = (left + some)[-_MOST_LINE:].split(b"\n")
        for line in lines:
            kind, told = _parsed(line)
            if kind == "step":
                step(shown(told))

    arguments = json.dumps([str(folder), pixels, images and [str(it) for it in images]])
    try:
        process = confined.start(__name__, arguments, niceness=0)
        answer, errors = confined.communicate(process, SECONDS, heard)
    except OSError as error:
        raise SourceError(f"no process can be started to try it ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"it took more than {SECONDS:g} s to convert and try: add a smaller network"
        ) from error
    kind, told = _parsed(answer.rstrip(b"\n").rpartition(b"\n")[2])
    if kind == "found" and isinstance(told, dict):
        return told
    if kind == "problem":
        raise SourceError(str(told))
    raise SourceError(confined.failure(process.returncode, errors))


def _parsed(line: bytes) -> tuple[str, Any]:
    try:
        kind, told = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return "", None
    return str(kind), told


def main() -> NoReturn:
    """Run as the other process: examine what the command line names, and answer on stdout."""
    folder, pixels, images = json.loads(sys.argv[1])
    stdout = os.dup(1)
    os.dup2(2, 1)  # Libraries may print.
    source = next(Path(folder).glob(f"{SOURCE}.*"))
    engine = "keras" if source.suffix == ".keras" else "litert"
    memory = ENGINES[engine].trial_bytes + (_IMAGES_BYTES if images else 0)
    confined.limit(memory, SECONDS)

    def write(kind: str, told: object) -> None:
        os.write(stdout, json.dumps([kind, told]).encode() + b"\n")

    try:
        paths = (Path(images[0]), Path(images[1])) if images else None
        found = _examined(source, pixels, paths, lambda text: write("step", text))
        answer: tuple[str, object] = "found", asdict(found)
    except SourceError as error:
        answer = "problem", str(error)
    except MemoryError:
        answer = "problem", f"it takes more than {memory >> 20} MB to try: add a smaller network"
    except Exception as error:  # noqa: BLE001 (a hostile file may cause any error)
        answer = "problem", f"it cannot be used: {type(error).__name__}: {shown(str(error))}"
    write(*answer)
    os._exit(0)


def _examined(
    source: Path, pixels: int | None, images: tuple[Path, Path] | None, step: Callable[[str], None]
) -> Findings:
    litert_file, keras_file = source.with_name("model.tflite"), source.with_name("model.keras")
    layers: tuple[str, ...] | None = None
    weights, libraries = 0, {}
    if source.suffix == ".keras":
        step("converting for LiteRT, which loads TensorFlow and takes some seconds")
        try:
            from inkstream_server.model_import.conversion import convert, versions
        except ImportError as error:
            raise SourceError(
                f"a .keras file is converted by TensorFlow, which cannot be imported ({shown(str(error))}): "
                "pip install 'inkstream-server[keras]', or convert it elsewhere and add the .tflite file"
            ) from error
        made = convert(source, keras_file, litert_file)
        layers, weights, libraries = made.layers, made.weights, versions()
    else:
        litert_file.write_bytes(source.read_bytes())
    content = litert_file.read_bytes()
    graph = _graph(content, litert_file)
    require_digits(graph.given, graph.made)
    shape = graph.given[1:]
    step("trying it on drawn digits")

    @cache
    def engine_at(high: int) -> LiteRTEngine:
        try:
            return LiteRTEngine(litert_file, content, Form(shape, high))
        except (ValueError, RuntimeError) as error:
            raise SourceError(f"LiteRT cannot run it: {shown(str(error))}") from error

    def compute(frames: NDArray[np.uint8], high: int) -> NDArray[np.float32]:
        return _in_batches(engine_at(high).outputs, frames)

    told = guess(compute, pixels, graph.is_quantised)
    form = Form(shape, told.high, told.gives_logits)
    calibration = None
    if images is not None:
        step("calibrating on the given images")
        form, calibration = _calibrated(litert_file, content, form, images)
    engine = LiteRTEngine(litert_file, content, form)
    difference, tolerance = None, model_sample.QUANTISED if graph.is_quantised else _CLOSE
    if layers is not None:
        step("comparing LiteRT with Keras")
        difference = _difference(engine, keras_file, form)
        tolerance = max(tolerance, 10 * difference)
    step("measuring its latency")
    answers = engine.infer([model_sample.frames()])
    return Findings(
        shape,
        told.high,
        told.gives_logits,
        {str(high): share for high, share in told.accuracy.items()},
        (layers or graph.operators)[:MOST_LAYERS],
        weights or graph.weights,
        graph.is_quantised,
        difference,
        model_sample.record(answers, tolerance),
        {str(rows): _latency_us(engine, rows) for rows in (1, _BATCH)},
        libraries,
        calibration,
    )


def _graph(content: bytes, path: Path) -> tflite_file.Graph:
    try:
        return tflite_file.describe(content, path)
    except ValueError as error:
        raise SourceError(
            f"{error}: convert a network that takes one image and gives ten numbers"
        ) from error


def _calibrated(
    path: Path, content: bytes, form: Form, images: tuple[Path, Path]
) -> tuple[Form, dict[str, Any]]:
    """Fit a temperature, and choose thresholds as training does it, on labelled images.

    Returns: the form with the temperature, and the figures for the card.
    """
    frames, labels = samples.read_labelled(*images)
    plain = _in_batches(LiteRTEngine(path, content, form).infer, frames)
    figures: dict[str, Any] = {
        "images": len(labels),
        "accuracy": round(float((plain.argmax(axis=1) == labels).mean()), 6),
        "temperature": 1.0,
    }
    if len(labels) < LEAST_FITTED:
        return form, figures
    temperature = fit_temperature(np.log(np.maximum(plain, 1e-30)), labels)
    form = Form(form.shape, form.high, form.gives_logits, temperature)
    figures["temperature"] = temperature
    if len(labels) < LEAST_CHOSEN:
        return form, figures
    answers = _in_batches(LiteRTEngine(path, content, form).infer, frames)
    lowest = np.floor(threshold_keeping(answers.max(axis=1), KEPT_OF_DIGITS) * 1000) / 1000
    unsure = np.ceil(threshold_of_error(answers, labels, UNSURE_ERROR) * 1000) / 1000
    figures["reject"] = {
        "not_a_digit_below": float(lowest),
        "unsure_below": float(min(max(unsure, lowest), 1.0)),
        "score": "max_probability",
        "share": round(float((answers.max(axis=1) < max(unsure, lowest)).mean()), 4),
        "chosen": (
            f"on {len(labels)} given images: not_a_digit_below keeps {KEPT_OF_DIGITS:.0%} of them; "
            f"unsure_below is the lowest with at most {UNSURE_ERROR:.2%} of answers wrong"
        ),
    }
    return form, figures


def _difference(engine: Engine, keras_file: Path, form: Form) -> float:
    """Give the largest difference of a probability between both files of a network.

    Raises:
        SourceError: it is more than `PARITY`.
    """
    from inkstream_server.engines.keras import KerasEngine

    frames = samples.drawn()[0]
    by_keras = _in_batches(KerasEngine(keras_file, form=form).infer, frames)
    difference = float(np.abs(_in_batches(engine.infer, frames) - by_keras).max())
    if not difference <= PARITY:
        raise SourceError(
            f"LiteRT's answers differ from Keras' by {difference:.3g}, expected at most {PARITY:g}: use "
            "layers of other kinds, or scale the input to 0 to 1"
        )
    return difference


def _in_batches(
    compute: Callable[[list[Frames]], NDArray[np.float32]], frames: Frames
) -> NDArray[np.float32]:
    return np.concatenate([compute([frames[at : at + 256]]) for at in range(0, len(frames), 256)])


def _latency_us(engine: Engine, rows: int) -> float:
    frames = samples.drawn()[0][:rows]
    times = []
    for _ in range(_RUNS):
        began = perf_counter()
        engine.infer([frames])
        times.append(perf_counter() - began)
    return round(float(np.median(times)) * 1e6, 1)


if __name__ == "__main__":
    main()
