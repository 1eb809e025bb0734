"""Callers that bring work for seconds: a neighbour is answered meanwhile, not afterwards.

Only the order of answers is tested. `python -m benchmarks.fairness --attacks` measures the times.
"""

from __future__ import annotations

from itertools import islice

import pytest
from inkstream.v1.recognition_service_pb2 import StreamRecognizeRequest, StreamRecognizeResponse
from inkstream.v1.tensor_pb2 import Tensors

from benchmarks.load import attacks
from benchmarks.load.wire import Listener, Stream, frames, open_streams
from tests.integration.conftest import RunningServer

HEAVY = 8
"""Streams that bring much work."""
IMAGES = 30
"""Images of the neighbour, each sent when the one before is answered."""
LAST = 2**40
"""The number of the image that each heavy stream sends after its work."""


@pytest.mark.parametrize(
    ("name", "messages"),
    [("tap", 150), ("erasing", 40), ("points", 400), ("pens", 60), ("tiny", 30), ("interims", 60)],
)
def test_a_neighbour_is_answered_before_heavy_streams_have_done_their_work(
    server: RunningServer, name: str, messages: int
) -> None:
    attack = attacks.ATTACKS[name]()
    with (
        open_streams(server.address, HEAVY) as heavy,
        open_streams(server.address, 1) as (light,),
    ):
        for stream in heavy:
            stream.put(frames(attack.opening))
            for message in islice(attack.messages(), messages):
                stream.put(message)
            stream.put(image(LAST))
        listener = Listener([*heavy, light])
        for number in range(IMAGES):
            light.put(image(number))
            while len(light.received) <= number:
                listener.listen(1.0)
        assert not any(map(has_done_its_work, heavy))


def image(number: int) -> list[bytes]:
    """A blank image."""
    tensors = Tensors(sequences=[number], uint8=bytes(784))
    return frames(StreamRecognizeRequest(tensors=tensors).SerializeToString())


def has_done_its_work(stream: Stream) -> bool:
    """Return whether the image after all the work is answered."""
    responses = [StreamRecognizeResponse.FromString(message) for _, message in stream.received]
    return any(LAST in group.sequences for response in responses for group in response.tensors)
