"""The one path from pen strokes to what models see, in serving and in training: frames and traces.

`model_frame`, `model_inputs` and `tensor_of` are the whole path. `normalize` is its first half, and
`rasterize` or `trace_of` its second.

Knows arrays. Leaves streams of ink, where a digit ends, and models to others.
"""

from inkstream_server.ink.normalize import PEN_WIDTH, Normalized, normalize
from inkstream_server.ink.rasterize import rasterize
from inkstream_server.ink.tensor import model_frame, model_inputs, tap_size, tensor_of
from inkstream_server.ink.trace import CHANNELS, POINTS, trace_of

__all__ = [
    "CHANNELS",
    "PEN_WIDTH",
    "POINTS",
    "Normalized",
    "model_frame",
    "model_inputs",
    "normalize",
    "rasterize",
    "tap_size",
    "tensor_of",
    "trace_of",
]
