"""Writes the generated pages of docs/, or fails if one differs from the code."""

import argparse
import sys
from pathlib import Path

from docs.generate import api, configuration, metrics

DOCS = Path(__file__).parents[1]
PAGES = {"api.md": api.page, "configuration.md": configuration.page, "metrics.md": metrics.page}


def main() -> int:
    """Run the command; the exit code is 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare the pages with the code and write nothing"
    )
    check = parser.parse_args().check
    stale = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if check and (not path.exists() or path.read_text() != text):
            stale.append(f"docs/{name}")
        elif not check:
            path.write_text(text)
    if stale:
        sys.stderr.write(
            f"{', '.join(stale)}: differs from the code; run 'make docs' and commit the result\n"
        )
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
