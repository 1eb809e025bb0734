"""Versions of a model with a second network, which reads strokes: made tiny, and read offline.

Needs no TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from inkstream.ink import Ink
from inkstream_server.confidence.product import product
from inkstream_server.engines.form import TRACES
from inkstream_server.engines.litert import LiteRTEngine
from inkstream_server.engines.tflite_file import IDENTIFIER
from inkstream_server.ink import model_inputs
from numpy.typing import NDArray

ROW = 64 * 7


def strokes_network(images: bytes, seed: int = 1) -> bytes:
    """Make a `.tflite` file of a dense network for traces, from a bundled one for images.

    Its first layer gets random weights, so that it reads nothing, but answers each trace differently.
    """
    model = schema.ModelT.InitFromPackedBuf(images, 0)
    (graph,) = model.subgraphs
    dense = next(it for it in graph.operators if len(it.inputs) == 3)
    given, flat, weights = (graph.tensors[it] for it in (graph.inputs[0], *dense.inputs[:2]))
    units = weights.shape[0]
    given.shape, given.shapeSignature = [1, 64, 7], [-1, 64, 7]
    flat.shape, flat.shapeSignature = [1, ROW], [-1, ROW]
    weights.shape = [units, ROW]
    chosen = np.random.default_rng(seed).normal(0, 0.05, (units, ROW)).astype(np.float32)
    model.buffers[weights.buffer].data = np.frombuffer(chosen.tobytes(), np.uint8)
    shape = graph.tensors[graph.operators[0].inputs[1]]
    model.buffers[shape.buffer].data = np.frombuffer(
        np.array([-1, ROW], np.int32).tobytes(), np.uint8
    )
    builder = flatbuffers.Builder(len(images))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def add_strokes(folder: Path, *, seed: int = 1, **changes: Any) -> None:
    """Add a network for strokes to a version, and to its card; `changes` replace keys of `strokes`."""
    content = strokes_network((folder / "model.tflite").read_bytes(), seed)
    (folder / "strokes.tflite").write_bytes(content)
    card = json.loads((folder / "card.json").read_text())
    card["files"]["strokes.tflite"] = {"sha256": hashlib.sha256(content).hexdigest()}
    card["strokes"] = {"image_weight": 0.3, "strokes_weight": 0.9, **changes}
    (folder / "card.json").write_text(json.dumps(card))


def read_offline(folder: Path, inks: Sequence[Ink]) -> NDArray[np.float32]:
    """Give the answers (n, 10) of both networks of a version to glyphs, without a server."""
    stated = json.loads((folder / "card.json").read_text())["strokes"]
    images = LiteRTEngine(folder / "model.tflite")
    strokes = LiteRTEngine(folder / "strokes.tflite", form=TRACES)
    answers = []
    for ink in inks:
        inputs = model_inputs(ink.arrays(), y_up=ink.y == "up")
        assert inputs is not None
        frame, trace = inputs
        drawn, written = images.infer([frame.reshape(1, -1)]), strokes.infer([trace.reshape(1, -1)])
        answers.append(product(drawn, written, stated["image_weight"], stated["strokes_weight"]))
    return np.concatenate(answers)


def remove_strokes(folder: Path) -> None:
    """Take the network for strokes out of a version."""
    card = json.loads((folder / "card.json").read_text())
    card["strokes"] = None
    for path in folder.glob("strokes.*"):
        del card["files"][path.name]
        path.unlink()
    (folder / "card.json").write_text(json.dumps(card))
