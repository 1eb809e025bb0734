from __future__ import annotations

from dataclasses import fields

import pytest
from inkstream.v1 import tensor_pb2
from inkstream_server.wire.answer_options import AnswerOptions, read_options

NAMES = [field.name for field in tensor_pb2.AnswerOptions.DESCRIPTOR.fields]


def test_the_default_is_what_an_empty_message_asks_for() -> None:
    assert read_options(tensor_pb2.AnswerOptions()) == AnswerOptions()


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_the_contract_is_copied(name: str) -> None:
    assert [field.name for field in fields(AnswerOptions)] == NAMES
    message = tensor_pb2.AnswerOptions()
    setattr(message, name, 1)
    copied = read_options(message)
    assert [bool(getattr(copied, other)) for other in NAMES] == [name == other for other in NAMES]
