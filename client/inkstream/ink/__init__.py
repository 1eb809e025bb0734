"""Digital ink: strokes of a pen, and the files that hold them.

    from inkstream.ink import read, write

    for ink in read("pendigits-orig.tra.gz"):      # UNIPEN, InkML or JSON Lines, gz or not
        print(ink.label, ink.writer, len(ink.strokes))
    write("digits.inkml.gz", read("digits.jsonl"))

InkML needs `pip install inkstream[inkml]`. A file that is malformed or too large raises InvalidInk with
its line and the reason.
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
