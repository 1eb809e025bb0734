"""Keeps finished runs in a folder, so that a training that was interrupted trains no seed twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from inkstream_training.train import Epoch, TrainedSeed

__all__ = ["kept"]


def kept(
    folder: Path | None, network: str, recipe: Any, seed: int, train: Callable[[], TrainedSeed]
) -> TrainedSeed:
    """Read a finished run, or train it and keep it.

    A run is known by everything that decides it: the network, the recipe and the seed. The data are those
    whose digests the code names.

    Args:
        folder: folder of runs; None trains and keeps nothing.
        network: "image" or "strokes".
        recipe: a frozen dataclass of the run's settings.
        seed: its seed.
        train: trains it.
    """
    if folder is None:
        return train()
    settings = json.dumps(dataclasses.asdict(recipe), sort_keys=True)
    digest = hashlib.sha256(f"{network} {settings}".encode()).hexdigest()[:12]
    path = folder / f"{network}-{seed}-{digest}"
    model, about = path.with_suffix(".keras"), path.with_suffix(".json")
    if about.exists():
        told = json.loads(about.read_text(encoding="utf-8"))
        history = tuple(Epoch(**epoch) for epoch in told["history"])
        loaded = keras.saving.load_model(model, compile=False, safe_mode=True)
        return TrainedSeed(seed, loaded, history, told["seconds"])
    run = train()
    folder.mkdir(parents=True, exist_ok=True)
    run.model.save(model)
    told = {
        "seconds": run.seconds,
        "history": [dataclasses.asdict(one) for one in run.history],
        "recipe": json.loads(settings),
    }
    about.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return run
