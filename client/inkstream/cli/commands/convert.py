"""`inkstream convert`: rewrites a file of ink in another format."""

from __future__ import annotations

from pathlib import Path

import click

from inkstream import InvalidInk
from inkstream.cli.terminal import EXISTING_FILE, NEW_FILE, notice
from inkstream.ink import FORMATS, read, write


@click.command()
@click.argument("source", metavar="IN", type=EXISTING_FILE)
@click.argument("target", metavar="OUT", type=NEW_FILE)
def convert(source: Path, target: Path) -> None:
    """Rewrite a file of ink in another format.

    IN holds UNIPEN, InkML or JSON Lines, gzipped or not; its content decides, not its name. The name of OUT
    decides its format: it ends in .jsonl, .unipen, .tra, .dat or .inkml, optionally followed by .gz. JSON
    Lines keep everything. InkML and UNIPEN lose fields that only JSON Lines have; UNIPEN also turns y up and
    loses the units.

    \b
    Examples:
      inkstream convert pendigits-orig.tra.gz pendigits.jsonl.gz
      inkstream convert digits.inkml digits.unipen
    """
    try:
        count = write(target, read(source))
    except OSError as error:
        raise InvalidInk(
            f"{error.strerror or error}; give a name that ends in {', '.join(FORMATS)}, optionally followed "
            "by .gz, in a folder that exists",
            str(target),
        ) from error
    notice(f"{target}: {count} {'ink' if count == 1 else 'inks'}")
