"""The one path from pen strokes to the 28x28 tensors that models see, for serving and for training.

    normalize   strokes of any device -> strokes in MNIST's 20-px box, or None where there is no ink
    rasterize   those -> one 28x28 frame, drawn and placed as MNIST's digits were
    tensor_of   both in one call

Knows arrays; nothing of streams, glyph ends or models.
"""

from inkstream_server.ink.normalize import PEN_WIDTH, Normalized, normalize
from inkstream_server.ink.rasterize import rasterize, tensor_of

__all__ = ["PEN_WIDTH", "Normalized", "normalize", "rasterize", "tensor_of"]
