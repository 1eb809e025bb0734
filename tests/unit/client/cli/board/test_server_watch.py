from __future__ import annotations

import threading
from typing import Any

from inkstream import ConnectionEvent, ConnectionFailed, ConnectionLost, ConnectionState
from inkstream.cli.board.server_watch import ServerWatch


def test_a_lost_and_a_new_connection_are_reported_once_each() -> None:
    reported: list[dict[str, Any]] = []
    watch = ServerWatch(reported.append)
    lost = ConnectionEvent(ConnectionState.LOST, "here:1", error=ConnectionLost("it broke"))
    for state in (ConnectionState.CONNECTING, ConnectionState.OPEN, ConnectionState.DRAINING):
        watch.take(ConnectionEvent(state, "here:1"))
    assert reported == []
    watch.take(lost)
    watch.take(lost)
    assert watch.state == {"state": "gone", "why": "it broke"}
    watch.take(ConnectionEvent(ConnectionState.OPEN, "here:1"))
    assert [state["state"] for state in reported] == ["gone", "ready"]


def test_an_idle_server_is_checked() -> None:
    reported: list[dict[str, Any]] = []
    watch = ServerWatch(reported.append)
    answers = iter([None, ConnectionFailed("connection refused"), None])

    def question() -> None:
        error = next(answers, None)
        if len(reported) == 2:
            watch.stop()
        if error is not None:
            raise error

    asking = threading.Thread(target=watch.ask, args=(question, 0))
    asking.start()
    asking.join(30)
    assert not asking.is_alive()
    assert reported == [{"state": "gone", "why": "connection refused"}, {"state": "ready"}]
