"""What accounts hold, and the room that is left."""

from __future__ import annotations

from inkstream_server.limits.memory_book import Account


def test_a_parent_holds_what_its_parts_hold() -> None:
    process = Account(100)
    first, second = Account(50, process), Account(80, process)
    first.hold("ink", 30)
    second.hold("answers", 60)
    assert (process.held, process.kinds) == (90, {"ink": 30, "answers": 60})
    assert first.room == 10
    first.close()
    assert (first.held, process.held) == (0, 60)
    assert second.room == 20


def test_an_account_beyond_its_limit_has_no_room() -> None:
    account = Account(10)
    account.hold("messages", 30)
    assert account.room == 0
    account.hold("messages", -25)
    assert account.room == 5
