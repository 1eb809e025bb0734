"""What a fork decides about gRPC; `tests/integration/test_client_fork.py` forks for real."""

from __future__ import annotations

import os
import threading
import time
from types import ModuleType

import pytest
from inkstream import _fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_thread_that_starts_to_use_grpc_during_a_fork_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other_thread_starts() -> bool:
        _fork.own_grpc()
        return False

    monkeypatch.setattr(_fork, "_is_used", False)
    monkeypatch.setattr(_fork, "_has_foreign_threads", other_thread_starts)
    pid = os.fork()
    if not pid:
        # In the child the gRPC of the parent is dead: a new client loads its own.
        os._exit(0 if _fork._own is None else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_waits_until_a_thread_has_loaded_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    is_loading, forks, loaded = threading.Event(), threading.Event(), ModuleType("grpc")

    def load() -> ModuleType:
        is_loading.set()
        assert forks.wait(30)
        time.sleep(0.05)  # A fork that does not wait happens now.
        is_loading.clear()
        return loaded

    def about_to_fork() -> bool:
        forks.set()
        return True

    monkeypatch.setattr(_fork, "_own", None)
    monkeypatch.setattr(_fork, "_is_used", True)
    monkeypatch.setattr(_fork, "_load_copy", load)
    monkeypatch.setattr(_fork, "_has_foreign_threads", about_to_fork)
    thread = threading.Thread(target=_fork.own_grpc)
    thread.start()
    assert is_loading.wait(30)
    pid = os.fork()
    if not pid:
        os._exit(1 if is_loading.is_set() else 0)
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert _fork.own_grpc() is loaded
