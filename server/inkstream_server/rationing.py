"""Cuts what a message brings down to what its caller's token still allows."""

from inkstream.v1 import error_pb2

from inkstream_server.access.allowance import Allowance
from inkstream_server.tensors import Arrival


def ration(arrival: Arrival, allowance: Allowance) -> list[error_pb2.ItemError]:
    """Take an arrival's frames out of an allowance; those beyond it leave their groups.

    The first frames of a message are the ones that stay.

    Returns: an error for each frame that was cut off, with the time after which there is room again.
    """
    refused: list[error_pb2.ItemError] = []
    for group in arrival.groups:
        asked = len(group.sequences)
        granted = allowance.take(asked)
        if granted == asked:
            continue
        retry_after_ms = allowance.retry_after_ms(asked - granted)
        refused += [
            error_pb2.ItemError(
                sequence=sequence,
                code=error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
                message=allowance.exhausted(),
                retry_after_ms=retry_after_ms,
            )
            for sequence in group.sequences[granted:]
        ]
        group.frames, group.sequences = group.frames[:granted], group.sequences[:granted]
    arrival.groups = [group for group in arrival.groups if group.sequences]
    return refused
