"""`inkstream recognize`: recognises pictures and arrays of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from inkstream import Client, InkstreamError, InvalidImage, Result
from inkstream.cli.picture_files import files_in, read_images
from inkstream.cli.server_option import PATIENT, ServerOptions, server_option
from inkstream.cli.terminal import (
    WRONG_INPUT,
    count_option,
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
@count_option("--top", 3, "Number of best digits to show.", low=0, high=10)
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

    If the model rejects an image, the answer begins with "rejected" and the reason, and then gives the best
    guess. A rejection does not change the exit code; it is 2 if a file cannot be read.

    \b
    Examples:
      inkstream recognize examples/seven.png
      inkstream recognize scans/*.png digits.npy --quiet
      inkstream recognize scans --json
      curl -s https://example.org/seven.jpg | inkstream recognize -
    """
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with Client(**server.options(), top_k=top, retry=PATIENT) as client:
        for file, index, notes, answer in _answers(client, files):
            place = file if index is None else f"{file}[{index}]"
            for note in () if quiet else notes:
                notice(f"{place}: {note}")
            if isinstance(answer, InvalidImage):
                notice(f"Error: {answer}" if index is None else f"Error: {place}: {answer}")
                failed.append({"file": file, "index": index, "error": str(answer)})
                continue
            rows.append({"file": file, "index": index or 0, **_row(answer), "notes": notes})
            if not as_json:
                line = _brief(answer) if quiet else _sentence(answer)
                stdout().print(f"{escape(place)}: {line}", soft_wrap=True)
    if as_json:
        found = {"results": rows, "failures": len(failed), "errors": failed}
        print_json({**found, "server": server.address})
    if failed:
        ctx.exit(WRONG_INPUT)


def _answers(
    client: Client, given: tuple[Path, ...]
) -> Iterator[tuple[str, int | None, list[str], Result | InvalidImage]]:
    """Recognise the images of files and folders.

    Yields: the file, the index in an array (None for a picture or a whole file), how a picture was prepared,
        and the result, or the error of an image or a file that cannot be taken.

    Raises:
        InkstreamError: the server cannot be reached, or the connection is lost.
    """
    for path in (file for each in given for file in files_in(each)):
        try:
            for found in read_images(path):
                results = client.stream(found.images, return_exceptions=True)
                for index, result in enumerate(results):
                    if isinstance(result, InkstreamError) and not isinstance(result, InvalidImage):
                        raise result
                    yield found.name, index if found.is_array else None, found.notes, result
        except InvalidImage as error:
            yield str(path), None, [], error


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
