"""The start of the installed command `inkstream`.

It stays outside the package `inkstream`, whose import loads gRPC. Only then gRPC reads whether to log on
stderr what the command says in a sentence of its own.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command `inkstream`; ends the process with an exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        # The import takes a moment, in which Ctrl-C may come.
        from inkstream.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
