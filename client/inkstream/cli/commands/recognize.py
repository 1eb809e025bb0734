"""`inkstream recognize`: recognises pictures and arrays of images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from inkstream import Client, InkstreamError, InvalidImage, Result
from inkstream.cli.picture_files import files_in, read_images
from inkstream.cli.server_option import PATIENT, ServerOptions, server_option
from inkstream.cli.terminal import (
    WRONG_INPUT,
    json_option,
    notice,
    print_json,
    stdout,
)


@click.command()
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
)
@server_option
@click.option(
    "--top", type=click.IntRange(0, 10), default=3, show_default=True, help="Best digits to show."
)
@json_option
@click.pass_context
def recognize(
    ctx: click.Context, files: tuple[Path, ...], server: ServerOptions, top: int, as_json: bool
) -> None:
    """Recognise the digit in each FILE: pictures, .npy or .npz arrays of 28x28 images, or folders of these.

    Pictures of any size and colour are brought into MNIST's form: turned upright, dark ink on a light
    ground inverted, uneven light evened out, the ink cropped, scaled to 20 pixels and centred. What was
    done is said on stderr. - is standard input.

    \b
    Examples:
      inkstream recognize seven.png scans/*.png digits.npy
      inkstream recognize scans --json
      curl -s https://example.org/seven.jpg | inkstream recognize -
    """
    answered = _Answered()
    with Client(**server.options(), top_k=top, retry=PATIENT) as client:
        for given in files:
            try:
                for path in files_in(given):
                    _recognize_file(client, path, answered, as_json=as_json)
            except InvalidImage as error:
                answered.refuse(str(given), None, error)
    if as_json:
        failed = answered.failed
        print_json(
            {
                "results": answered.rows,
                "failures": len(failed),
                "errors": failed,
                "server": server.address,
            }
        )
    if answered.failed:
        ctx.exit(WRONG_INPUT)


@dataclass(slots=True)
class _Answered:
    """What became of the images so far, for --json."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """Results."""
    failed: list[dict[str, Any]] = field(default_factory=list)
    """Files and images that could not be taken."""

    def refuse(self, file: str, index: int | None, error: InvalidImage) -> None:
        """Note and say that a file, or an image of it, cannot be taken."""
        said = str(error) if index is None else f"{file}[{index}]: {error}"
        notice(f"Error: {said}")
        self.failed.append({"file": file, "index": index, "error": str(error)})


def _recognize_file(client: Client, path: Path, answered: _Answered, *, as_json: bool) -> None:
    """Recognise what a file holds, and go on after what cannot be taken.

    Raises:
        InkstreamError: the server cannot be reached, or no longer.
    """
    try:
        for found in read_images(path):
            for note in found.notes:
                notice(f"{found.name}: {note}")
            results = client.stream(found.images, return_exceptions=True)
            for index, result in enumerate(results):
                if isinstance(result, InvalidImage):
                    answered.refuse(found.name, index if found.is_array else None, result)
                    continue
                if isinstance(result, InkstreamError):
                    raise result
                row = {"file": found.name, "index": index, **_row(result), "notes": found.notes}
                answered.rows.append(row)
                if not as_json:
                    place = f"{found.name}[{index}]" if found.is_array else found.name
                    stdout().print(f"{escape(place)}: {_sentence(result)}", soft_wrap=True)
    except InvalidImage as error:
        answered.refuse(str(path), None, error)


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
