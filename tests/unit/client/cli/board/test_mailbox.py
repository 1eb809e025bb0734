from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from inkstream.cli.board import mailbox as _mailbox
from inkstream.cli.board.mailbox import Mailbox

LONG = 60.0


def numbers(mailbox: Mailbox, reader: int, after: int = 0) -> list[int]:
    messages = mailbox.read(reader, after, LONG)
    assert messages is not None
    return [message.number for message in messages]


def test_a_reader_gets_the_messages_after_its_last() -> None:
    mailbox = Mailbox()
    for place in range(3):
        mailbox.put("answer", {"place": place})
    reader = mailbox.begin()
    assert numbers(mailbox, reader) == [1, 2, 3]
    assert numbers(mailbox, reader, after=2) == [3]
    assert mailbox.read(reader, 3, 0) == []


def test_a_reader_waits_for_messages() -> None:
    mailbox = Mailbox()
    reader = mailbox.begin()
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(numbers, mailbox, reader)
        mailbox.put("answer", {})
        assert reading.result(LONG) == [1]


def test_a_new_reader_ends_the_one_before() -> None:
    mailbox = Mailbox()
    first = mailbox.begin()
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(mailbox.read, first, 0, LONG)
        second = mailbox.begin()
        assert reading.result(LONG) is None
    mailbox.put("answer", {})
    assert mailbox.read(first, 0, LONG) is None
    assert numbers(mailbox, second) == [1]


def test_a_mailbox_without_a_new_reader_is_abandoned() -> None:
    mailbox = Mailbox()
    reader = mailbox.begin()
    assert mailbox.is_left(reader, 0)
    mailbox.close()
    assert not mailbox.is_left(reader, LONG)


def test_a_page_that_is_away_uses_bounded_memory() -> None:
    mailbox = Mailbox()
    for _ in range(_mailbox._KEPT + 10):
        mailbox.put("answer", {})
    found = numbers(mailbox, mailbox.begin())
    assert found == [*range(11, _mailbox._KEPT + 11)]
