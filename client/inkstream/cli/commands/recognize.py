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
from inkstream.cli.terminal import WRONG_INPUT, json_option, notice, print_json, stdout


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
    "--top",
    type=click.IntRange(0, 10),
    default=3,
    show_default=True,
    help="Number of best digits to show.",
)
@click.option(
    "--quiet", "-q", is_flag=True, help="Print one line for each image: name, answer, confidence."
)
@json_option
@click.pass_context
def recognize(
    ctx: click.Context,
    *,
    files: tuple[Path, ...],
    server: ServerOptions,
    top: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Recognise the digit in each picture or array of images.

    FILE is a picture, a .npy or .npz array of 28x28 images, a folder of these, or - for standard input.

    Pictures may have any size and colour. The command brings them into MNIST's form: it turns them upright,
    inverts dark ink on a light ground, evens out uneven light, crops the ink, scales it to 20 pixels and
    centres it. It reports these steps on stderr.

    If the model rejects an image, the line begins with "rejected" and the reason; the digit that follows is
    the best guess. The exit code is 0 all the same, and 2 if a file cannot be read.

    \b
    Examples:
      inkstream recognize examples/seven.png
      inkstream recognize scans/*.png digits.npy --quiet
      inkstream recognize scans --json
      curl -s https://example.org/seven.jpg | inkstream recognize -
    """
    answered = _Answered()
    with Client(**server.options(), top_k=top, retry=PATIENT) as client:
        for given in files:
            try:
                for path in files_in(given):
                    _recognize_file(client, path, answered, quiet=quiet, as_json=as_json)
            except InvalidImage as error:
                answered.refuse(str(given), None, error)
    if as_json:
        print_json(
            {
                "results": answered.rows,
                "failures": len(answered.failed),
                "errors": answered.failed,
                "server": server.address,
            }
        )
    if answered.failed:
        ctx.exit(WRONG_INPUT)


@dataclass(slots=True)
class _Answered:
    """The answers so far, for --json."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """Results."""
    failed: list[dict[str, Any]] = field(default_factory=list)
    """Files and images that cannot be taken."""

    def refuse(self, file: str, index: int | None, error: InvalidImage) -> None:
        """Report that a file, or an image of it, cannot be taken."""
        notice(f"Error: {error}" if index is None else f"Error: {file}[{index}]: {error}")
        self.failed.append({"file": file, "index": index, "error": str(error)})


def _recognize_file(
    client: Client, path: Path, answered: _Answered, *, quiet: bool, as_json: bool
) -> None:
    """Recognise the images of a file; those that cannot be taken are reported and passed over.

    Raises:
        InkstreamError: the server cannot be reached, or the connection is lost.
    """
    try:
        for found in read_images(path):
            for note in () if quiet else found.notes:
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
                    line = _brief(result) if quiet else _sentence(result)
                    stdout().print(f"{escape(place)}: {line}", soft_wrap=True)
    except InvalidImage as error:
        answered.refuse(str(path), None, error)


def _row(result: Result) -> dict[str, Any]:
    return {
        "digit": result.digit,
        "confidence": round(result.confidence, 6),
        "alternatives": [[digit, round(share, 6)] for digit, share in result.alternatives],
        "rejected": result.rejected,
        "reason": result.reason.name if result.reason else None,
        "warnings": [warning.name for warning in result.warnings],
        "model": result.model,
    }


def _brief(result: Result) -> str:
    """The digit, or why it is rejected, and the confidence."""
    return f"{_answer(result)}  {result.confidence:.1%}"


def _sentence(result: Result) -> str:
    """The answer with the next best digits and the warnings."""
    others = ", ".join(f"{digit} {share:.1%}" for digit, share in result.alternatives[1:])
    if result.rejected:
        guess = f"best guess {result.digit} {result.confidence:.1%}"
        line = f"{_answer(result)}  ({guess}{', then ' * bool(others)}{others})"
    else:
        line = _brief(result) + (f"  (then {others})" if others else "")
    warnings = ", ".join(map(str, result.warnings))
    return line + (f"  [yellow]{warnings}[/yellow]" if warnings else "")


def _answer(result: Result) -> str:
    if not result.rejected:
        return f"[bold]{result.digit}[/bold]"
    return f"[yellow]rejected: {result.reason or 'unknown reason'}[/yellow]"
