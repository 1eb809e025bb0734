"""Tells by a file that the server is ready."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from inkstream_server.errors import StartError


def write_ready_file(path: Path, address: str, metrics_url: str) -> None:
    """Say where the server is, in a file that a reader sees whole or not at all.

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
