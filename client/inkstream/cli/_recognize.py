"""`inkstream recognize`: recognises picture files and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.markup import escape

from inkstream import Client, InkstreamError, InvalidImage, Result
from inkstream._images import IMAGE_SHAPES
from inkstream.cli._conversation import (
    WRONG_INPUT,
    json_option,
    notice,
    print_json,
    stdout,
)
from inkstream.cli._reach import PATIENT, Reach, server_option
from inkstream.pictures import prepare_with_notes


@click.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@server_option
@click.option(
    "--top", type=click.IntRange(0, 10), default=3, show_default=True, help="Best digits to show."
)
@json_option
@click.pass_context
def recognize(
    ctx: click.Context, files: tuple[Path, ...], server: Reach, top: int, as_json: bool
) -> None:
    """Recognise the digit in each FILE: pictures, or .npy arrays of 28x28 images.

    Pictures of any size and colour are brought into MNIST's form: dark ink on a light ground is
    inverted, the ink cropped, scaled to 20 pixels and centred. What was done is said on stderr.

    \b
    Example:
      inkstream recognize seven.png scans/*.png digits.npy
    """
    rows: list[dict[str, Any]] = []
    failures = 0
    with Client(**server.options(), top_k=top, retry=PATIENT) as client:
        for path in files:
            try:
                images, notes = _read(path)
            except InkstreamError as error:
                notice(f"Error: {error}")
                failures += 1
                continue
            for note in notes:
                notice(f"{path}: {note}")
            results = client.stream(images, return_exceptions=True)
            for index, result in enumerate(results):
                place = f"{path}[{index}]" if path.suffix == ".npy" else str(path)
                if isinstance(result, InvalidImage):
                    notice(f"Error: {place}: {result}")
                    failures += 1
                elif isinstance(result, InkstreamError):
                    raise result
                else:
                    rows.append({"file": str(path), "index": index, **_row(result), "notes": notes})
                    if not as_json:
                        stdout().print(f"{escape(place)}: {_sentence(result)}", soft_wrap=True)
    if as_json:
        print_json({"results": rows, "failures": failures, "server": server.address})
    if failures:
        ctx.exit(WRONG_INPUT)


def _read(path: Path) -> tuple[npt.NDArray[Any], list[str]]:
    """The images of a file as (N, ...), and what was done to them."""
    if not path.is_file():
        raise InvalidImage(f"{path}: no such file; give paths of pictures or .npy arrays")
    if path.suffix != ".npy":
        image, notes = prepare_with_notes(path)
        return image[None], notes
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidImage(
            f"{path}: not an array of numbers that can be read; write it with np.save"
        ) from error
    is_single = array.shape in IMAGE_SHAPES or array.ndim == 0
    return (array[None] if is_single else array), []


def _row(result: Result) -> dict[str, Any]:
    return {
        "digit": result.digit,
        "confidence": round(result.confidence, 6),
        "alternatives": [[digit, round(share, 6)] for digit, share in result.alternatives],
        "rejected": result.rejected,
        "reason": result.reason.name if result.reason else None,
        "warnings": [doubt.name for doubt in result.warnings],
        "model": result.model,
    }


def _sentence(result: Result) -> str:
    others = ", ".join(f"{digit} {share:.1%}" for digit, share in result.alternatives[1:])
    doubts = [result.reason.name.lower().replace("_", " ")] if result.reason else []
    doubts += [doubt.name.lower().replace("_", " ") for doubt in result.warnings]
    return (
        f"[bold]{result.digit}[/bold]  {result.confidence:.1%}"
        + (f"  (then {others})" if others else "")
        + (f"  [yellow]{', '.join(doubts)}[/yellow]" if doubts else "")
    )
