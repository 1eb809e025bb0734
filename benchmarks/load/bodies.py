"""Builds whole gRPC messages for load generators, before the clock starts."""

import struct

from inkstream.v1.recognition_service_pb2 import StreamConfig, StreamRecognizeRequest
from inkstream.v1.tensor_pb2 import Tensors

from benchmarks.load.digits import Digits

PATH = "/inkstream.v1.RecognitionService/StreamRecognize"
CONFIG = StreamRecognizeRequest(config=StreamConfig()).SerializeToString()
"""The first message of every stream."""


def framed(message: bytes) -> bytes:
    """Put gRPC's prefix before a message: one byte (0, not compressed) and four bytes of length."""
    return struct.pack(">BI", 0, len(message)) + message


def request(digits: Digits, first: int, count: int, *, sequence: int | None = None) -> bytes:
    """Build a message of `count` images from `first` on, numbered from `sequence`, else from `first`."""
    start = first if sequence is None else sequence
    tensors = Tensors(sequences=range(start, start + count), uint8=digits.pixels(first, count))
    return StreamRecognizeRequest(tensors=tensors).SerializeToString()


def stream(digits: Digits, *, messages: int, per_message: int) -> bytes:
    """Build the body of one stream: the configuration, then `messages` of `per_message` images each."""
    firsts = range(0, messages * per_message, per_message)
    parts = [framed(request(digits, first, per_message)) for first in firsts]
    return framed(CONFIG) + b"".join(parts)
