"""What accounts hold, and the room that is left."""

from __future__ import annotations

from inkstream_server.limits.memory_book import Account, MemoryBook, MemoryLimits


def test_a_parent_holds_what_its_parts_hold() -> None:
    process = Account(100)
    first, second = Account(50, process), Account(80, process)
    first.hold("ink", 30)
    second.hold("answers", 60)
    assert (process.held, process.kinds) == (90, {"messages": 0, "ink": 30, "answers": 60})
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


def test_streams_of_a_connection_share_an_account_as_long_as_one_is_open() -> None:
    book = MemoryBook(MemoryLimits(process=100, connection=50, stream=40))
    with book.account("here:1") as one:
        with book.account("here:1") as two, book.account("here:2") as other:
            one.hold("ink", 30)
            two.hold("messages", 10)
            assert (one.room, two.room, other.room) == (10, 10, 40)
            assert book.holders == {one, two, other}
        assert (book.process.held, one.room) == (30, 10)
    assert (book.process.held, book.holders) == (0, set())
    with book.account("here:1") as again:
        assert again.room == 40


def test_a_holder_is_crowded_early_and_what_it_shares_when_it_is_full() -> None:
    connection = Account(100)
    stream, other = Account(80, connection), Account(200, connection)
    stream.hold("messages", 29)
    assert not stream.is_crowded
    stream.hold("answers", 1)
    assert stream.is_crowded
    assert stream.usable == 30
    assert not other.is_crowded
    stream.hold("ink", 70)
    assert other.is_crowded


def test_an_account_that_was_closed_counts_nowhere() -> None:
    process = Account(100)
    stream = Account(80, process)
    stream.hold("ink", 30)
    stream.close()
    stream.hold("ink", -30)
    assert process.held == 0
