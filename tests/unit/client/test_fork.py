"""What a fork decides about gRPC; `tests/integration/test_client_fork.py` forks for real."""

from __future__ import annotations

import os

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
