"""Pinning changes a whole process, so each test pins its own process."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux pins")


def test_every_thread_of_a_pinned_process_stays_on_its_core() -> None:
    output = run(
        "import os, threading; from inkstream_server.process.affinity import pin\n"
        "cores = sorted(os.sched_getaffinity(0)); hold = threading.Event()\n"
        "early = threading.Thread(target=hold.wait); early.start()\n"
        "pin(len(cores) - 1)\n"
        "print([os.sched_getaffinity(t) == {cores[-1]} for t in (0, early.native_id)])\n"
        "hold.set()"
    )
    assert output == "[True, True]"


def test_a_missing_core_is_refused_with_the_fix() -> None:
    output = run(
        "import os; from inkstream_server.process.affinity import pin\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "try: pin(1)\n"
        "except Exception as error: print(error)"
    )
    assert output == (
        "pin: 2 workers need 2 cores of their own, and this process may use 1: "
        "lower --workers or leave out --pin"
    )
