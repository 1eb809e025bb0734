"""Reads a version's card: plain JSON of limited size and depth, in which each number is finite."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from inkstream_server.engines.form import IMAGES, Form
from inkstream_server.errors import shown
from inkstream_server.process.files import read_regular

FILE: Final = "card.json"
"""Its name in the folder of a version."""

MOST_BYTES: Final = 128 * 1024
"""Largest card; those of the bundled models take up to 50 kB. Each stream gets the card in its first answer,
and a message of gRPC may have 4 MB by default."""

MOST_DEPTH: Final = 32
"""Most lists and objects within each other; the bundled cards have 6."""

MOST_DIGITS: Final = 40
"""Most characters of a number."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def read(folder: Path) -> bytes:
    """Read the card of a version.

    Raises:
        OSError: there is no card, it is no regular file, or is too large; see `read_regular`.
    """
    return read_regular(folder / FILE, MOST_BYTES)


def parse(content: bytes) -> dict[str, Any]:
    """Parse a card.

    Raises:
        ValueError: it is no JSON object in UTF-8, is nested too deeply, or has a name twice or a number that
            is too long or not finite; the message says which.
    """
    try:
        card = json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_constant=_number,
            parse_int=_integer,
            parse_float=_number,
        )
    except RecursionError as error:
        raise _too_deep() from error
    level = [card]
    for _ in range(MOST_DEPTH):
        level = [inner for it in level for inner in _inside(it)]
    if level:
        raise _too_deep()
    if not isinstance(card, dict):
        raise ValueError(f"expected a JSON object, got {type(card).__name__}")
    return card


def digests(card: dict[str, Any]) -> dict[str, str]:
    """Give the SHA-256 of each file that a card names, as 64 hexadecimal digits.

    Raises:
        ValueError: the card has no such list, or names a file outside of its folder.
    """
    stated = card.get("files")
    if not isinstance(stated, dict):
        raise ValueError('files: expected {"model.tflite": {"sha256": ...}, ...}')
    found = {}
    for file, about in stated.items():
        digest = about.get("sha256") if isinstance(about, dict) else about
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError(
                f"files: has no sha256 for '{shown(file)}': expected 64 hexadecimal digits"
            )
        if "/" in file or "\0" in file or file in ("", ".", ".."):
            raise ValueError(f"files: expected names of files beside the card, got '{shown(file)}'")
        found[file] = digest
    return found


def form_of(card: dict[str, Any]) -> Form:
    """Read what the network for images takes and gives.

    `{"input": {"shape": [28, 28, 1], "high": 255}, "output": "logits", "image_temperature": 1.2}`, see
    `Form`. Without them it is what training exports: (28, 28), 0 to 1, probabilities, 1.

    Raises:
        ValueError: they are not as expected; names the key.
    """
    stated, output = card.get("input"), card.get("output", "probabilities")
    if output not in ("probabilities", "logits"):
        raise ValueError(f"output: expected 'probabilities' or 'logits', got {shown(output)}")
    shape, high = IMAGES.shape, IMAGES.high
    if stated is not None:
        try:
            shape, high = tuple(stated["shape"]), stated["high"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"input: expected shape and high, got {shown(stated)}") from error
    if not all(type(side) is int for side in (*shape, high)):
        raise ValueError(f"input: expected whole numbers, got {shown(stated)}")
    temperature = card.get("image_temperature", 1.0)
    if type(temperature) not in (int, float):
        raise ValueError(f"image_temperature: expected a number, got {shown(temperature)}")
    form = Form(shape, high, output == "logits", float(temperature))
    if form.columns != IMAGES.columns:
        raise ValueError(f"input.shape: expected that of an image, got {shape}")
    return form


def _inside(it: object) -> Iterator[object]:
    """Give the lists and objects within a list or an object."""
    inner = it.values() if isinstance(it, dict) else it if isinstance(it, list) else ()
    return (each for each in inner if isinstance(each, dict | list))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"the name '{shown(name)}' appears twice in an object")
        made[name] = value
    return made


def _integer(text: str) -> int:
    return int(_short(text))


def _number(text: str) -> float:
    number = float(_short(text))
    if not math.isfinite(number):
        raise ValueError(f"expected finite numbers, got {text}")
    return number


def _short(text: str) -> str:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"expected numbers of at most {MOST_DIGITS} digits, got {len(text)}")
    return text


def _too_deep() -> ValueError:
    return ValueError(
        f"expected at most {MOST_DEPTH} lists and objects within each other, got more"
    )
