"""Writes the file that says that a server is ready."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from inkstream_server.errors import StartError


def write_ready_file(path: Path, address: str, metrics_url: str) -> None:
    """Write where the server listens. A reader sees the whole file or none.

    Raises:
        StartError: the file cannot be written.
    """
    ready = {"address": address, "metrics": metrics_url, "pid": os.getpid()}
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(json.dumps(ready))
        Path(file.name).replace(path)
    except OSError as error:
        raise StartError(
            f"ready_file: cannot write {path} ({error.strerror}): "
            "its folder must exist and be writable"
        ) from error
