from __future__ import annotations

from itertools import islice

import pytest
from inkstream.v1.recognition_service_pb2 import StreamRecognizeRequest
from inkstream_server.pens.limits import PenLimits

from benchmarks.load import attacks
from tests.unit.server.pens.desk import Desk

pytestmark = pytest.mark.no_cover  # Measuring it doubles its time.


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_every_attack_sends_messages_of_the_contract(name: str) -> None:
    attack = attacks.ATTACKS[name]()
    messages = [attack.opening, *map(message_of, islice(attack.messages(), 5))]
    for message in messages:
        assert StreamRecognizeRequest.FromString(message).WhichOneof("request")


@pytest.mark.parametrize("name", ["tap", "erasing", "points", "pens"])
async def test_attacks_within_the_rules_are_read_and_not_refused(name: str) -> None:
    attack = attacks.ATTACKS[name]()
    desk = Desk(PenLimits())
    for message in [attack.opening, *map(message_of, islice(attack.messages(), 10))]:
        await desk.take(*StreamRecognizeRequest.FromString(message).ink.events)
        await desk.read()
    assert not desk.errors


def test_every_mixture_is_of_known_attacks() -> None:
    for names in attacks.MIXTURES.values():
        assert {*names} <= {*attacks.ATTACKS, attacks.UNARY}


def message_of(frames: list[bytes]) -> bytes:
    """The message in DATA frames, without the frames' headers and gRPC's prefix."""
    return b"".join(frame[9:] for frame in frames)[5:]
