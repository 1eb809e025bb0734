"""Bytes of a stream's message: decoded, and its tensors read as the server reads them."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["inkstream_server.wire.tensors"]):
    from inkstream_server.wire import tensors

from google.protobuf.message import DecodeError
from inkstream.v1.recognition_service_pb2 import StreamRecognizeRequest

MOST = 64


def read(content: bytes) -> None:
    """Require that every frame is in a group or in an error, or the whole message is refused."""
    try:
        request = StreamRecognizeRequest.FromString(content)
    except DecodeError:
        return
    try:
        arrival = tensors.read(request.tensors, after=-1, max_frames=MOST)
    except tensors.TooManyFrames:
        return
    taken = sum(len(group.frames) for group in arrival.groups)
    assert taken + len(arrival.errors) == arrival.items, arrival


def read_message(content: bytes) -> None:
    """Read the input as a message, and again as frames, because random bytes rarely make any."""
    read(content)
    data = atheris.FuzzedDataProvider(content)
    request = StreamRecognizeRequest()
    columns = request.tensors
    frames = data.ConsumeIntInRange(0, 4)
    columns.sequences.extend(data.ConsumeIntInRange(0, 2**64 - 1) for _ in range(frames))
    columns.deadlines_ms.extend(
        data.ConsumeIntInRange(0, 2**32 - 1) for _ in range(data.ConsumeIntInRange(0, 4))
    )
    pixels = frames * 784 * data.ConsumeIntInRange(1, 4) + data.ConsumeIntInRange(0, 1)
    body = data.ConsumeBytes(64)
    body = (body * pixels)[:pixels] if body else bytes(pixels)
    if data.ConsumeBool():
        columns.uint8 = body
    else:
        columns.float32 = body
    read(request.SerializeToString())


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_message)
    atheris.Fuzz()
