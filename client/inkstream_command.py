"""The command `inkstream` as it is installed, beside the package rather than in it.

gRPC's core logs on stderr what the command says in a sentence of its own, and reads once, when the package
is imported, whether to.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; ends the process with an exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        # Takes a moment, in which somebody may have thought better of it.
        from inkstream.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
