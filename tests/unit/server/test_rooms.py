from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.rooms import ROOT, arrows_up, circle_in, entries_of, imports_of

FOLDER = "server/inkstream_server"

ORDER = [
    "__main__",
    "cli",
    "workers",
    "server",
    "rpc",
    "streams",
    "tracing",
    "pens",
    "metrics",
    "wire",
    "batching",
    "model_import",
    "model_store",
    "confidence",
    "engines",
    "ink",
    "access",
    "limits",
    "process",
    "config",
    "clock",
    "logs",
    "errors",
    "__init__",
]
"""Every room of the server. A room imports only rooms behind it."""


def test_imports_run_one_way_from_room_to_room() -> None:
    assert arrows_up(imports_of(FOLDER), ORDER) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle_in(imports_of(FOLDER)) == []


def test_streams_pens_and_batches_import_no_grpc() -> None:
    grpc_is_imported = re.compile(r"^\s*(import|from) grpc", re.MULTILINE)
    rooms = {
        path.relative_to(ROOT / FOLDER).parts[0].removesuffix(".py")
        for path in (ROOT / FOLDER).rglob("*.py")
        if grpc_is_imported.search(path.read_text())
    }
    assert rooms == {"access", "metrics", "rpc", "server", "tracing"}


@pytest.mark.parametrize("room", ["process", "workers"])
def test_a_supervisor_never_loads_grpc(room: str) -> None:
    # A process that has loaded gRPC must not fork, and a supervisor does not need its threads.
    assert modules_of_grpc_after(room) == []


def modules_of_grpc_after(room: str) -> list[str]:
    """Import all modules of a room in a new process; return the gRPC modules that it loaded."""
    modules = [it for it in imports_of(FOLDER) if it.startswith(f"inkstream_server.{room}")]
    assert modules
    program = (
        f"import sys, {', '.join(modules)}\n"
        "print(*[it for it in sys.modules if it.partition('.')[0] == 'grpc'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return ran.stdout.split()


def test_the_package_shows_few_entries() -> None:
    assert len(entries_of(FOLDER)) <= 26


@pytest.mark.parametrize(
    ("imports", "up"),
    [
        ({"p.high": {"p.low"}, "p.low": set()}, []),
        ({"p.high": set(), "p.low.part": {"p.high"}}, ["p.low.part -> p.high"]),
        ({"p.low.part": {"p.low.other"}, "p.low.other": set()}, []),
    ],
)
def test_an_import_from_a_lower_room_to_a_higher_one_is_found(
    imports: dict[str, Any], up: list[str]
) -> None:
    assert arrows_up(imports, ["high", "low"]) == up


def test_a_circle_is_found() -> None:
    assert set(circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
