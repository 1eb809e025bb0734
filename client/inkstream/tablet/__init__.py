"""Pens on Linux tablets: from the kernel's input events to strokes.

    from inkstream.tablet import Tablet

    with Tablet() as tablet:                          # pip install inkstream[tablet]
        for event in tablet:
            print(event.kind, event.x, event.y)

`Decoder` turns the kernel's events into pen events, and needs no device.
"""

from inkstream.tablet._decoder import Axis, Decoder, Layout, PenEvent, decode, strokes_of
from inkstream.tablet._device import NoTablet, Tablet, tablets

__all__ = [
    "Axis",
    "Decoder",
    "Layout",
    "NoTablet",
    "PenEvent",
    "Tablet",
    "decode",
    "strokes_of",
    "tablets",
]
