"""Damages `.tflite` files of models and updates their cards, as an attacker with write access can."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from inkstream_server.engines.tflite_file import OPERATORS

Damage = Callable[[bytes], bytes]

UNGUARDED = Path(__file__).parent / "unguarded"
"""On a program's import path, this folder disables our own check of files."""

# Offsets of fields in their tables, from the generated code of the schema.
_DATA, _SHAPE, _INPUTS, _OUTPUTS, _BUILTIN_CODE = 4, 4, 6, 8, 10


def damage(folder: Path, how: Damage) -> None:
    """Damage a version's `.tflite` file, and put its new digest into the card."""
    file, card_file = folder / "model.tflite", folder / "card.json"
    content = how(file.read_bytes())
    file.write_bytes(content)
    card = json.loads(card_file.read_text())
    card["files"]["model.tflite"]["sha256"] = hashlib.sha256(content).hexdigest()
    card_file.write_text(json.dumps(card))


def circle(content: bytes) -> bytes:
    """Let the last operator read its own output, and an earlier one write the same tensor.

    Without our own check LiteRT 2.3 ends by SIGSEGV, each time. `no_weights` and `other_operator` have it
    read outside of a list, and it depends on what lies there.
    """
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    last = graph.OperatorsLength() - 1
    for operator in (graph.Operators(last)._tab, graph.Operators(last - 2)._tab):
        place = operator.Vector(operator.Offset(_OUTPUTS))
        content = _put(content, place, graph.Operators(last).Inputs(0))
    return content


def other_operator(content: bytes) -> bytes:
    """Change one byte: the first kind of operator becomes STRIDED_SLICE, with too few inputs."""
    code = schema.Model.GetRootAs(content, 0).OperatorCodes(0)._tab
    return _put(content, code.Pos + code.Offset(_BUILTIN_CODE), OPERATORS["STRIDED_SLICE"])


def no_weights(content: bytes) -> bytes:
    """Change four bytes, so that the first dense layer has no weights."""
    dense = schema.Model.GetRootAs(content, 0).Subgraphs(0).Operators(1)
    assert dense.InputsLength() == 3, "expected a dense layer's input, weights and bias"
    return _put(content, dense._tab.Vector(dense._tab.Offset(_INPUTS)) + 4, -1)


def huge(content: bytes) -> bytes:
    """Give the last operator an input of 5 GB."""
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    last = graph.Tensors(graph.Operators(graph.OperatorsLength() - 1).Inputs(0))._tab
    return _put(content, last.Vector(last.Offset(_SHAPE)), 1 << 27)


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def wrong_bias(content: bytes) -> bytes:
    """Let a sound network answer 0 to every image."""
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    dense = graph.Operators(graph.OperatorsLength() - 2)
    bias = model.Buffers(graph.Tensors(dense.Inputs(2)).Buffer())._tab
    return _put(
        content, bias.Vector(bias.Offset(_DATA)), *struct.unpack("<i", struct.pack("<f", 99.0))
    )


def _put(content: bytes, at: int, value: int) -> bytes:
    return content[:at] + struct.pack("<i", value) + content[at + 4 :]
