"""Gives a version of a model a second, tiny network that reads strokes. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from inkstream_server.engines.tflite_file import IDENTIFIER

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
