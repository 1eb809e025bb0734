"""The one path from pen strokes to the 28x28 frames that models see, for serving and for training.

`model_frame` and `tensor_of` are the whole path; `normalize` and `rasterize` are its two halves.

Knows arrays. Leaves streams of ink, where a digit ends, and models to others.
"""

from inkstream_server.ink.normalize import PEN_WIDTH, Normalized, normalize
from inkstream_server.ink.rasterize import rasterize
from inkstream_server.ink.tensor import model_frame, tap_size, tensor_of

__all__ = [
    "PEN_WIDTH",
    "Normalized",
    "model_frame",
    "normalize",
    "rasterize",
    "tap_size",
    "tensor_of",
]
