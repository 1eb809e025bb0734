"""Holds back what native libraries write to file descriptor 2, unless the body fails."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back standard error of this process; print it if the body raises.

    TensorFlow and LiteRT log from C++ at import and at conversion, before they read any setting, which
    breaks progress bars. This affects the whole process, so use it for short, single-threaded work.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            log.seek(0)
            os.write(kept, log.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
