"""Ends a command with a sentence when its standard output is full. Loads no gRPC."""

from __future__ import annotations

import errno
import os
import sys

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def end_if_full(error: OSError, name: str) -> None:
    """End the process with a sentence and exit code 1 if `error` says that standard output is full.

    Returns and does nothing for any other error.

    Args:
        error: the error that ended a command; one that names a file is left alone.
        name: the name of the command, which precedes the sentence.
    """
    if error.filename is not None or error.errno not in _FULL:
        return
    # Python writes its buffer once more as it ends, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.write(
        f"{name}: standard output cannot be written ({error.strerror}); what it shows is not complete\n"
    )
    sys.exit(1)
