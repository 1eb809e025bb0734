"""The command line `inkstream`, part of the extra `inkstream[cli]`.

Leaves recognition to the library: commands use the public client.
"""

from __future__ import annotations

import sys

_EXTRA = frozenset({"click", "rich", "PIL"})


def main() -> None:
    """Run the command line; ends the process with an exit code."""
    try:
        from inkstream.cli.app import app

        app()
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRA:
            raise
        sys.stderr.write(
            f"inkstream: the command line needs {missing.name}, which is not installed; "
            "try: pip install 'inkstream[cli]'\n"
        )
        sys.exit(1)
