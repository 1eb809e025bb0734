"""What commands do when standard output takes nothing more. Knows nothing of command lines."""

from __future__ import annotations

import errno
import os
import sys

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def end_if_full(error: OSError, name: str) -> None:
    """End the process with a sentence and 1 where `error` says that output could not be written.

    Args:
        error: that ended a command; one about a file that it names is left alone.
        name: the command's, before the sentence.
    """
    if error.filename is not None or error.errno not in _FULL:
        return
    # What is left in the buffer would fail once more as the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.write(
        f"{name}: standard output cannot be written ({error.strerror}); what it shows is not complete\n"
    )
    sys.exit(1)
