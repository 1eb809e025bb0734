"""What a load generator sends: whole gRPC request bodies, ready to be posted."""

import struct

import numpy as np
from inkstream.v1.recognition_service_pb2 import (
    StreamConfig,
    StreamRecognizeRequest,
    StreamRecognizeResponse,
)
from inkstream.v1.tensor_pb2 import TensorResults, Tensors
from numpy.typing import NDArray


def framed(message: bytes) -> bytes:
    """Put gRPC's prefix before a message: one byte (not compressed), four bytes of length."""
    return struct.pack(">BI", 0, len(message)) + message


def stream(images: NDArray[np.uint8], *, messages: int, per_message: int) -> bytes:
    """Build the body of one stream: the configuration, then images over and over.

    Args:
        images: uint8 (n, 28, 28), used in turn.
        messages: messages after the configuration.
        per_message: images a message.
    """
    parts = [framed(StreamRecognizeRequest(config=StreamConfig()).SerializeToString())]
    rows = np.arange(messages * per_message) % len(images)
    for first in range(0, messages * per_message, per_message):
        sequences = range(first, first + per_message)
        pixels = images[rows[first : first + per_message]].tobytes()
        request = StreamRecognizeRequest(tensors=Tensors(sequences=sequences, uint8=pixels))
        parts.append(framed(request.SerializeToString()))
    return b"".join(parts)


def answer(per_message: int) -> bytes:
    """Build an answer as a server sends it to a message of so many images."""
    results = TensorResults(
        sequences=range(1000, 1000 + per_message),
        digits=[7] * per_message,
        confidences=[0.5] * per_message,
        model_version="digits/1",
    )
    return StreamRecognizeResponse(tensors=[results]).SerializeToString()
