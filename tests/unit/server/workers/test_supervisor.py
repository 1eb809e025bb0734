from __future__ import annotations

import subprocess
import sys


def test_a_supervisor_imports_neither_grpc_nor_an_engine() -> None:
    script = (
        "import sys, inkstream_server.cli, inkstream_server.workers.supervisor\n"
        "heavy = {'grpc', 'google', 'tensorflow', 'keras', 'ai_edge_litert', 'uvloop', 'celiagg'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
