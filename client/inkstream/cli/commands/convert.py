"""`inkstream convert`: rewrites a file of ink in another format."""

from __future__ import annotations

from pathlib import Path

import click

from inkstream import InvalidInk
from inkstream.cli.terminal import notice
from inkstream.ink import FORMATS, read, write


@click.command()
@click.argument(
    "source", metavar="IN", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
def convert(source: Path, target: Path) -> None:
    """Rewrite a file of ink in the format that the name of OUT says.

    IN holds UNIPEN, InkML or JSON Lines, gzipped or not, told by what it holds. OUT ends in .jsonl,
    .unipen, .tra, .dat or .inkml, or in one of them and .gz. JSON Lines keep all; UNIPEN turns y up and
    loses units, and fields that only JSON Lines know are lost by the others.

    \b
    Examples:
      inkstream convert pendigits-orig.tra.gz pendigits.jsonl.gz
      inkstream convert digits.inkml digits.unipen
    """
    try:
        count = write(target, read(source))
    except OSError as error:
        raise InvalidInk(
            f"{error.strerror or error}; OUT ends in {', '.join(FORMATS)} or one and .gz, in a folder "
            "that can be written to",
            str(target),
        ) from error
    notice(f"{target}: {count} {'ink' if count == 1 else 'inks'}")
