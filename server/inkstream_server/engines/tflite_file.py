"""Checks a `.tflite` file before LiteRT loads it: its size, its operators and their inputs.

LiteRT checks the flatbuffer and many inputs of operators. A wrong file that it does not notice is undefined
behaviour, which may crash the process, so this module rules out what it can.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

from inkstream_server.config import MOST_MODEL_BYTES
from inkstream_server.errors import shown

IDENTIFIER: Final = b"TFL3"
"""Bytes 4 to 8 of every file of TensorFlow Lite's schema, version 3."""

MOST_BYTES: Final = MOST_MODEL_BYTES

_TAKES: Final = {
    (1, 1): {
        "AVERAGE_POOL_2D": 1, "DEPTH_TO_SPACE": 5, "DEQUANTIZE": 6, "FLOOR": 8, "L2_NORMALIZATION": 11,
        "LOGISTIC": 14, "MAX_POOL_2D": 17, "RELU": 19, "RELU_N1_TO_1": 20, "RELU6": 21, "SOFTMAX": 25,
        "SPACE_TO_DEPTH": 26, "TANH": 28, "SQUEEZE": 43, "EXP": 47, "LOG_SOFTMAX": 50, "CAST": 53,
        "NEG": 59, "LOG": 73, "SQRT": 75, "RSQRT": 76, "SHAPE": 77, "LOGICAL_NOT": 87, "SQUARE": 92,
        "ZEROS_LIKE": 93, "LEAKY_RELU": 98, "ABS": 101, "CEIL": 104, "ELU": 111, "QUANTIZE": 114,
        "ROUND": 116, "HARD_SWISH": 117, "GELU": 150, "RELU_0_TO_1": 152, "SIGN": 158,
    },
    (1, 2): {
        "RESHAPE": 22,
    },
    (1, 64): {
        "CONCATENATION": 2, "PACK": 83, "ADD_N": 106,
    },
    (2, 2): {
        "ADD": 0, "MUL": 18, "RESIZE_BILINEAR": 23, "PAD": 34, "GATHER": 36, "TRANSPOSE": 39, "MEAN": 40,
        "SUB": 41, "DIV": 42, "PRELU": 54, "MAXIMUM": 55, "MINIMUM": 57, "LESS": 58, "GREATER": 61,
        "GREATER_EQUAL": 62, "LESS_EQUAL": 63, "TILE": 69, "EXPAND_DIMS": 70, "EQUAL": 71, "NOT_EQUAL": 72,
        "SUM": 74, "POW": 78, "REDUCE_PROD": 81, "REDUCE_MAX": 82, "LOGICAL_OR": 84, "LOGICAL_AND": 86,
        "REDUCE_MIN": 89, "FILL": 94, "RESIZE_NEAREST_NEIGHBOR": 97, "SQUARED_DIFFERENCE": 99,
        "MIRROR_PAD": 100, "BATCH_MATMUL": 126, "BROADCAST_TO": 130,
    },
    (2, 3): {
        "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 9,
    },
    (3, 3): {
        "BATCH_TO_SPACE_ND": 37, "SPACE_TO_BATCH_ND": 38, "PADV2": 60, "SELECT": 64, "SLICE": 65,
        "RANGE": 96, "SELECT_V2": 123,
    },
    (3, 4): {
        "TRANSPOSE_CONV": 67,
    },
    (4, 4): {
        "STRIDED_SLICE": 45,
    },
}  # fmt: skip
"""Operators by the least and the most tensors that they take in, each with its number in the schema."""

OPERATORS: Final = {name: number for group in _TAKES.values() for name, number in group.items()}
"""Operators of plain networks for digits, with their number in the schema. None of them branches, calls
another graph, keeps state between batches or is custom code."""

_SHAPE_INPUTS: Final = {
    OPERATORS[name]: places
    for places, names in {
        (0,): "FILL TRANSPOSE_CONV",
        (
            1,
        ): "RESHAPE BROADCAST_TO TRANSPOSE PAD PADV2 MIRROR_PAD EXPAND_DIMS MEAN SUM REDUCE_PROD "
        "REDUCE_MAX REDUCE_MIN TILE GATHER RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR",
        (1, 2): "BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND SLICE",
        (1, 2, 3): "STRIDED_SLICE",
        (0, 1, 2): "RANGE",
    }.items()
    for name in names.split()
}
"""Inputs of operators that decide the shape of what they write, or where they read. They may depend on the
sizes of tensors, and not on their content: then a tensor has the same size, and stays in its place, from
batch to batch."""

_REFUSED: Final = {
    16: "LSTM", 32: "CUSTOM", 35: "UNIDIRECTIONAL_SEQUENCE_RNN", 44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    118: "IF", 119: "WHILE", 129: "CALL_ONCE", 142: "VAR_HANDLE", 143: "READ_VARIABLE",
    144: "ASSIGN_VARIABLE",
}  # fmt: skip
"""Names of some operators that are not on the list, for messages."""

_LIMITS: Final = {number: limits for limits, group in _TAKES.items() for number in group.values()}
_WITH_BIAS: Final = ((2, 3), (3, 4))
_NONE: Final = -1
"""Number of a tensor that is left out, which only a bias may be."""

_REAL: Final = frozenset({0, 1, 3, 9, 17})
"""Types of tensors of weights: float32, float16, uint8, int8 and int4."""

_EIGHT_BITS: Final = frozenset({3, 9, 17})

_NUMBERS: Final = _REAL | {2, 4, 6, 7}
"""Types of tensors that are numbers: those, int32, int64, bool and int16. LiteRT crashes where a kernel
writes numbers into a tensor of texts."""

_MOST: Final = 1000
"""Most operators, kinds of operators and tensors that a file may list."""


def require_plain(content: bytes, path: Path) -> None:
    """Refuse a file that is more than a plain network.

    Args:
        content: the bytes of the file.
        path: its path, for messages.

    Raises:
        ValueError: the file is no `.tflite` file, is too large, has several graphs, or has an operator that
            is not on the list or has wrong inputs; names what is wrong.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: expected at most {MOST_BYTES} bytes, got {len(content)}")
    if content[4:8] != IDENTIFIER:
        raise ValueError(
            f"{path}: is no LiteRT model (flatbuffer identifier: expected {shown(IDENTIFIER)}, "
            f"got {shown(content[4:8])})"
        )
    try:
        model = _Table(content, *struct.unpack_from("<I", content))
        kinds = [_kind(code) for code in model.tables(1)]
        others = sorted({*kinds} - {*OPERATORS.values()})
        if others:
            named = ", ".join(
                f"{it} ({_REFUSED[it]})" if it in _REFUSED else str(it) for it in others
            )
            raise ValueError(
                f"{path}: the operators with the numbers {named} in the schema are not part of a plain "
                "network of digits"
            )
        graphs = [*model.tables(2)]
        if len(graphs) != 1:
            raise ValueError(f"{path}: expected one graph, got {len(graphs)}")
        _require_sound(kinds, graphs[0], [buffer.has(0) for buffer in model.tables(4)])
    except (struct.error, IndexError) as error:
        raise ValueError(f"{path}: is no plain LiteRT model ({error})") from error


@dataclass(frozen=True, slots=True)
class Graph:
    """What a `.tflite` file computes."""

    given: tuple[int, ...]
    """Shape of its input, -1 where it is free."""
    made: tuple[int, ...]
    """Shape of its output."""
    operators: tuple[str, ...]
    """Names of its operators, in order."""
    weights: int
    """Number of constants that are no shapes."""
    is_quantised: bool
    """Whether numbers of eight bits or fewer are among them, or among what it computes."""


def describe(content: bytes, path: Path) -> Graph:
    """Describe a file that passed `require_plain`.

    Args:
        content: the bytes of the file.
        path: its path, for messages.

    Raises:
        ValueError: it has not one input and one output, or did not pass.
    """
    names = {number: name for name, number in OPERATORS.items()}
    try:
        model = _Table(content, *struct.unpack_from("<I", content))
        kinds = [_kind(code) for code in model.tables(1)]
        graph = next(model.tables(2))
        tensors = [*graph.tables(0)]
        (given,), (made,) = graph.numbers(1), graph.numbers(2)
        is_filled = [buffer.has(0) for buffer in model.tables(4)]
        constants = [it for it in tensors if is_filled[it.number(2, "<I")]]
        types = {it.number(1, "<b") for it in tensors}
        return Graph(
            _shape(tensors[given]),
            _shape(tensors[made]),
            tuple(names[kinds[it.number(0, "<I")]] for it in graph.tables(3)),
            sum(prod(_shape(it)) for it in constants if it.number(1, "<b") in _REAL),
            not types.isdisjoint(_EIGHT_BITS),
        )
    except ValueError as error:
        raise ValueError(f"{path}: expected one input and one output") from error
    except (struct.error, IndexError, KeyError, StopIteration) as error:
        raise ValueError(f"{path}: is no plain LiteRT model ({error})") from error


def _shape(tensor: "_Table") -> tuple[int, ...]:
    """Give a tensor's shape: its signature, where sides may be free, if it has one."""
    return tuple(tensor.numbers(7) or tensor.numbers(0))


def _kind(code: "_Table") -> int:
    """Give the number of an operator. The schema has two fields for it, because one byte became too small."""
    return max(code.number(0, "<b"), code.number(3, "<i"))


def _require_sound(kinds: list[int], graph: "_Table", is_filled: list[bool]) -> None:
    """Check that each operator reads only tensors that exist by then, and writes a new one.

    Args:
        kinds: the numbers of the operators that the file lists.
        graph: the graph that runs them.
        is_filled: which of the file's buffers have content.

    Raises:
        struct.error: a tensor is not of numbers, or an operator does not, or lets the content of the input
            decide a shape; names it.
    """
    tensors = []
    for tensor in graph.tables(0):
        tensors.append(is_filled[tensor.number(2, "<I")])
        if tensor.number(1, "<b") not in _NUMBERS or tensor.number(5, "<b"):
            raise struct.error(f"tensor {len(tensors) - 1} is a variable, or not of numbers")
    known = {at for at, is_constant in enumerate(tensors) if is_constant}
    for given in graph.numbers(1):
        if given in known or not 0 <= given < len(tensors):
            raise struct.error(f"the graph reads tensor {given}, expected a new one")
        known.add(given)
    content = {*graph.numbers(1)}
    for place, operator in enumerate(graph.tables(3)):
        kind = kinds[operator.number(0, "<I")]
        least, most = _LIMITS[kind]
        takes, gives = operator.numbers(1), operator.numbers(2)
        if (least, most) in _WITH_BIAS and len(takes) == most and takes[-1] == _NONE:
            takes = takes[:-1]
        if not (least <= len(takes) <= most and known.issuperset(takes)):
            raise struct.error(
                f"operator {place} reads tensors {takes}, of which some do not exist"
            )
        if len(gives) != 1 or gives[0] in known or not 0 <= gives[0] < len(tensors):
            raise struct.error(f"operator {place} writes tensors {gives}, expected a new one")
        known |= {*gives}
        if not content.isdisjoint(takes) and kind != OPERATORS["SHAPE"]:
            content |= {*gives}
            if not content.isdisjoint(
                takes[it] for it in _SHAPE_INPUTS.get(kind, ()) if it < len(takes)
            ):
                raise struct.error(
                    f"operator {place} makes a tensor whose shape depends on the image"
                )
    if not known.issuperset(graph.numbers(2)):
        raise struct.error(
            f"the graph writes tensors {graph.numbers(2)}, which no operator computes"
        )


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a flatbuffer. Its methods raise struct.error if it points outside of the file."""

    content: bytes
    at: int

    def number(self, field: int, form: str) -> int:
        """Give a field that is a number; 0 if it is left out."""
        place = self._place(field)
        return int(struct.unpack_from(form, self.content, place)[0]) if place else 0

    def has(self, field: int) -> bool:
        """Say whether a field is a list with entries."""
        return self._list(field, most=MOST_BYTES)[1] > 0

    def numbers(self, field: int) -> list[int]:
        """Give a field that is a list of numbers of four bytes."""
        start, count = self._list(field)
        return [*struct.unpack_from(f"<{count}i", self.content, start)]

    def tables(self, field: int) -> Iterator["_Table"]:
        """Give a field that is a list of tables."""
        start, count = self._list(field)
        for entry in range(start, start + 4 * count, 4):
            (further,) = struct.unpack_from("<I", self.content, entry)
            yield _Table(self.content, entry + further)

    def _list(self, field: int, most: int = _MOST) -> tuple[int, int]:
        """Give the place of the first entry of a list and the number of entries."""
        place = self._place(field)
        if not place:
            return 0, 0
        place += struct.unpack_from("<I", self.content, place)[0]
        (count,) = struct.unpack_from("<I", self.content, place)
        if count > most:
            raise struct.error(f"a list is {count} long, expected at most {most}")
        return place + 4, count

    def _place(self, field: int) -> int:
        """Give the place of a field; 0 if it is left out and has its default."""
        (back,) = struct.unpack_from("<i", self.content, self.at)
        (size,) = struct.unpack_from("<H", self.content, self.at - back)
        entry = 4 + 2 * field
        if entry + 2 > size:
            return 0
        (offset,) = struct.unpack_from("<H", self.content, self.at - back + entry)
        return self.at + offset if offset else 0
