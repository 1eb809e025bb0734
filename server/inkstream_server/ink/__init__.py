"""The one path from pen strokes to the 28x28 frames that models see, for serving and for training.

    tap_size     the size of a mere tap, by the units of the ink
    model_frame  strokes -> the frame that a model is asked about, or None where it is not asked
    tensor_of    strokes -> 784 bytes, be it a dot
    normalize    strokes of any device -> strokes in MNIST's 20-px box
    rasterize    those -> one frame, drawn and placed as MNIST's digits were

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
