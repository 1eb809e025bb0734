"""Counts how LiteRT handles well-formed files with wrong graphs, with and without our own check.

    python -m tests.fuzz.tflite_graph --files 2500 --seed 11
    python -m tests.fuzz.tflite_graph --files 2500 --seed 11 --plain-networks

Coverage does not lead there: almost every changed byte of a flatbuffer is refused as such. So the graph of a
bundled model, or of other plain networks (needs TensorFlow), is changed at random and written anew, and a
fork of this process loads it and tries the sample.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from inkstream_server.config import BUNDLED
from inkstream_server.engines import litert
from inkstream_server.engines.tflite_file import IDENTIFIER, OPERATORS, require_plain
from inkstream_server.model_store import sample as model_sample

SIZES: Final = (
    -2,
    -1,
    0,
    1,
    2,
    3,
    5,
    7,
    12,
    13,
    28,
    100,
    127,
    255,
    784,
    2**16,
    2**31 - 1,
    -(2**31),
)
TYPES: Final = 22
SECONDS: Final = 10
MOST_BYTES: Final = 1 << 30


def changed(content: bytes, chance: random.Random) -> bytes:
    """Write a model anew with one to three changes of its graph."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change(model, chance)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _change(model: Any, chance: random.Random) -> None:
    graph = model.subgraphs[0]
    tensor, operator = chance.choice(graph.tensors), chance.choice(graph.operators)
    tensors = range(-1, len(graph.tensors))
    match chance.randrange(9):
        case 0 if len(tensor.shape):
            tensor.shape = [*tensor.shape]
            tensor.shape[chance.randrange(len(tensor.shape))] = chance.choice(SIZES)
        case 1:
            tensor.shape = [chance.choice(SIZES) for _ in range(chance.randrange(6))]
            tensor.shapeSignature = None
        case 2:
            tensor.buffer = chance.randrange(len(model.buffers))
        case 3:
            tensor.type = chance.randrange(TYPES)
        case 4 if len(operator.inputs):
            operator.inputs = [*operator.inputs]
            operator.inputs[chance.randrange(len(operator.inputs))] = chance.choice(tensors)
        case 5:
            operator.outputs = [chance.choice(tensors) for _ in range(chance.randrange(1, 3))]
        case 6:
            code = chance.choice(model.operatorCodes)
            code.builtinCode = chance.choice([*OPERATORS.values()])
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = chance.randrange(1, 8)
        case 7:
            operator.builtinOptions, operator.builtinOptionsType = None, 0
        case _:
            buffer = chance.choice(model.buffers)
            buffer.data = chance.choice((None, chance.randbytes(chance.choice((1, 4, 8, 16)))))


def outcome(path: Path, sample: object) -> str:
    """Load a file in a fork; return "taken", "refused", or the signal that ended the fork."""
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
        try:
            model_sample.check(litert.LiteRTEngine(path), model_sample.frames(), sample)
        except Exception:  # noqa: BLE001 (any refusal will do)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "refused" if os.WEXITSTATUS(status) else "taken"


def plain_networks() -> list[bytes]:
    """Compile networks of many operators, and require that none is refused as it is."""
    with tempfile.TemporaryDirectory() as aside:
        command = [sys.executable, "-m", "tests.fuzz.plain_networks", aside]
        subprocess.run(command, check=True, capture_output=True)
        files = sorted(Path(aside).iterdir())
        assert [outcome(it, None) for it in files] == ["taken"] * len(files)
        return [it.read_bytes() for it in files]


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz.tflite_graph")
    options.add_argument("--files", type=int, default=2500)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--plain-networks", action="store_true", help="change those instead")
    options.add_argument("--keep", type=Path, help="folder for files that end their process")
    chosen = options.parse_args()
    chance = random.Random(chosen.seed)
    folder = BUNDLED / "digits" / "1"
    sound = [(folder / "model.tflite").read_bytes()]
    sample = json.loads((folder / "card.json").read_text()).get("sample")
    if chosen.plain_networks:
        sound, sample = plain_networks(), None
    counts = {"without our check": Counter[str](), "with it": Counter[str]()}
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "model.tflite"
        for number in range(chosen.files):
            content = changed(chance.choice(sound), chance)
            path.write_bytes(content)
            for way, check in zip(counts, (lambda *_: None, require_plain), strict=True):
                vars(litert)["require_plain"] = check
                came = outcome(path, sample)
                counts[way][came] += 1
                if chosen.keep is not None and came.startswith("SIG"):
                    (chosen.keep / f"{came}-{number}.tflite").write_bytes(content)
    for way, count in counts.items():
        print(f"{way}: {', '.join(f'{many} {what}' for what, many in count.most_common())}")


if __name__ == "__main__":
    main()
