"""Digital ink: strokes of a pen, and the files that hold them.

    from inkstream.ink import read, write

    for ink in read("pendigits-orig.tra.gz"):      # UNIPEN, InkML or JSON Lines, gz or not
        print(ink.label, ink.writer, len(ink.strokes))
    write("digits.inkml.gz", read("digits.jsonl"))

InkML needs `pip install inkstream[inkml]`. A malformed or too large file raises InvalidInk, which names
the line and the reason.
"""

from inkstream.ink._errors import InvalidInk
from inkstream.ink._files import FORMATS, read, read_from, write
from inkstream.ink._ink import Ink, Stroke, Units, YDirection
from inkstream.ink._limits import Limits

__all__ = [
    "FORMATS",
    "Ink",
    "InvalidInk",
    "Limits",
    "Stroke",
    "Units",
    "YDirection",
    "read",
    "read_from",
    "write",
]
