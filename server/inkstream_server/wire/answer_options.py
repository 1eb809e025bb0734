"""What answers hold besides digit and confidence, as a value of our own.

A field of a protobuf message keeps the memory of the whole message alive, so nothing that outlives a message
refers to one: 500 pens that kept their `AnswerOptions` kept 2 GB of messages.
"""

from dataclasses import dataclass
from functools import lru_cache

from inkstream.v1 import tensor_pb2


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """What answers hold besides digit and confidence. The default asks for nothing more."""

    top_k: int = 0
    """Number of best digits to report, 0 to 10; 0 for none."""
    probabilities: bool = False
    """Whether to report the probabilities of all ten digits."""
    timings: bool = False
    """Whether to report how long each item waited and how long the engine took."""


def read_options(message: tensor_pb2.AnswerOptions) -> AnswerOptions:
    """Copy the known fields out of a message, unchecked."""
    return _options(message.top_k, message.probabilities, message.timings)


@lru_cache(64)
def _options(top_k: int, probabilities: bool, timings: bool) -> AnswerOptions:
    """Give options that thousands of pens can share."""
    return AnswerOptions(top_k, probabilities, timings)
