"""Turns a recipe into a model folder: trains the seeds, calibrates, chooses, exports, writes the card.

All choices use validation images and validation writers. The test images and the test writers are used
once for each finished seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from inkstream import mnist
from inkstream_server.model_store import sample as model_sample
from inkstream_server.model_store.store import BUNDLED, every_version

from inkstream_training.architecture import LAYERS, predict
from inkstream_training.card import (
    BASELINE,
    Card,
    Comparison,
    SeedResult,
    StrokesCard,
    mean_and_sd,
)
from inkstream_training.examples import Examples, gather
from inkstream_training.export import (
    STROKES_KERAS_FILE,
    describe_files,
    export,
    export_strokes,
    load_keras,
)
from inkstream_training.finish import Finished, Pair, finish
from inkstream_training.ink import gates
from inkstream_training.ink.collection import InkParts, prepare
from inkstream_training.ink.rendering import OnGlyphs
from inkstream_training.provenance import data_files, libraries, plain, rounded
from inkstream_training.recipes import Recipe, StrokeRecipe
from inkstream_training.runs import kept
from inkstream_training.strokes.architecture import LAYERS as STROKES_LAYERS
from inkstream_training.strokes.architecture import outputs
from inkstream_training.strokes.train import train_strokes
from inkstream_training.train import Epoch, TrainedSeed, train_seed

__all__ = ["CARD_FILE", "produce", "select"]

CARD_FILE = "card.json"

OnEpoch = Callable[[str, int, Epoch], None]
"""Called with "image" or "strokes" and the seed after each epoch."""


def produce(
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    version: str = "1",
    *,
    mnist_folder: Path | None = None,
    ink_folder: Path | None = None,
    runs: Path | None = None,
    on_epoch: OnEpoch = lambda network, seed, epoch: None,
    on_glyphs: OnGlyphs = lambda drawn: None,
) -> Card:
    """Train every seed and export the chosen one.

    Args:
        recipe: recipe to train.
        seeds: at least one; each is trained from scratch. A seed of both networks is a pair.
        folder: folder for the files of the networks and `card.json`.
        version: version for the card.
        mnist_folder: see `inkstream.mnist.load`.
        ink_folder: see `inkstream_training.ink.sources.load`; unused without ink.
        runs: folder that keeps finished runs; see `runs.kept`.
        on_epoch: see `OnEpoch`.
        on_glyphs: called repeatedly with the number of glyphs drawn since the last call.

    Returns: the card that was written.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds: expected at least one, each once, got {list(seeds)}")
    # First, because it is small: a missing file is found before ink is drawn for minutes.
    images, labels = mnist.load("train", mnist_folder)
    test_images, test_labels = mnist.load("test", mnist_folder)
    ink = None if recipe.ink is None else prepare(recipe, ink_folder, on_glyphs)
    examples = gather(recipe, images, labels, ink)
    tests = test_images, test_labels
    finished = []
    for seed in seeds:
        run = _train_image(recipe, examples, seed, runs, partial(on_epoch, "image", seed))
        second = None
        if ink is not None and recipe.strokes is not None:
            report = partial(on_epoch, "strokes", seed)
            second = _train_strokes(recipe.strokes, ink, seed, runs, report)
        finished.append(finish(recipe, run, second, examples, tests, ink))
    served = select(finished)
    parity = export(served.run.model, folder, test_images)
    strokes = None
    if served.pair is not None and ink is not None:
        strokes = _export_strokes(served.pair, folder, ink)
    mean, spread = mean_and_sd([one.result.test_accuracy for one in finished])
    card = Card(
        name=recipe.model_name,
        version=version,
        description=recipe.description,
        created=datetime.now(UTC).date().isoformat(),
        architecture=list(LAYERS),
        parameters=int(served.run.model.count_params()),
        recipe=plain(dataclasses.asdict(recipe)),
        data=data_files(recipe, ink),
        seed=served.run.seed,
        selection=recipe.selection,
        temperature=served.result.temperature,
        ink_temperature=served.result.ink_temperature,
        metrics=served.metrics,
        seeds=[one.result for one in finished],
        test_accuracy_mean=mean,
        test_accuracy_sd=spread,
        baseline=BASELINE,
        parity=parity,
        history=[rounded(epoch) for epoch in served.run.history],
        files=describe_files(folder),
        libraries=libraries(),
        training_seconds=round(served.run.seconds, 1),
        reject=served.reject,
        splits=None if ink is None else ink.splits,
        ink=served.ink,
        sample=model_sample.record(predict(served.run.model, _sample_images())),
        gates=_gates([one.result for one in finished]),
        strokes=strokes,
        letters=served.letters,
        same_architecture=_same_architecture(recipe.model_name, version),
    )
    card.write(folder / CARD_FILE)
    return card


def select(finished: Sequence[Finished]) -> Finished:
    """Choose the seed with the lowest validation loss, else the first; see `Recipe.selection`."""

    def loss(one: Finished) -> float:
        return 0.0 if one.result.validation_nll is None else one.result.validation_nll

    return min(finished, key=loss)


def _same_architecture(name: str, version: str) -> list[Comparison]:
    """Give the figures of the models of this architecture that come with the server, but this one."""
    cards = [Card.read(folder / CARD_FILE) for folder in every_version(BUNDLED)]
    return [
        Comparison(
            f"{card.name}/{card.version}",
            str(card.recipe["name"]),
            card.test_accuracy_mean,
            card.test_accuracy_sd,
            len(card.seeds),
        )
        for card in cards
        if card.architecture == list(LAYERS) and (card.name, card.version) != (name, version)
    ]


def _train_image(
    recipe: Recipe,
    examples: Examples,
    seed: int,
    runs: Path | None,
    on_epoch: Callable[[Epoch], None],
) -> TrainedSeed:
    # The second network does not change what the first one learns.
    alone = dataclasses.replace(recipe, strokes=None)
    return kept(
        runs, "image", alone, seed, lambda: train_seed(recipe, examples, seed, on_epoch=on_epoch)
    )


def _train_strokes(
    recipe: StrokeRecipe,
    ink: InkParts,
    seed: int,
    runs: Path | None,
    on_epoch: Callable[[Epoch], None],
) -> TrainedSeed:
    held_out = ink.validation.digits.traces, ink.validation.labels
    return kept(
        runs,
        "strokes",
        recipe,
        seed,
        lambda: train_strokes(recipe, ink.traces, seed, validation=held_out, on_epoch=on_epoch),
    )


def _export_strokes(pair: Pair, folder: Path, ink: InkParts) -> StrokesCard:
    traces = ink.validation.digits.traces
    parity = export_strokes(pair.run.model, pair.temperature, folder, traces)
    saved = load_keras(folder / STROKES_KERAS_FILE)
    sample = model_sample.traces().reshape(-1, *traces.shape[1:])
    return StrokesCard(
        image_weight=pair.weights.image,
        strokes_weight=pair.weights.strokes,
        architecture=list(STROKES_LAYERS),
        parameters=int(pair.run.model.count_params()),
        temperature=pair.temperature,
        parity=parity,
        history=[rounded(epoch) for epoch in pair.run.history],
        training_seconds=round(pair.run.seconds, 1),
        image_alone=pair.image_alone,
        strokes_alone=pair.strokes_alone,
        sample=model_sample.record(outputs(saved, sample)),
    )


def _sample_images() -> npt.NDArray[np.uint8]:
    return model_sample.frames().reshape(-1, 28, 28)


def _gates(results: Sequence[SeedResult]) -> dict[str, gates.GateResult] | None:
    measured = [result.gates for result in results if result.gates is not None]
    return gates.check(measured) if measured else None
