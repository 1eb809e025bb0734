"""Who is ended when a process takes more memory than it should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from inkstream_server.limits import memory_watch
from inkstream_server.limits.memory_book import MemoryBook, MemoryLimits
from inkstream_server.limits.memory_watch import (
    RELIEF_SECONDS,
    MemoryWatch,
    resident,
    trim_function,
)

from tests.patience import eventually

MIB = 2**20


class Scene:
    """A process with a limit of 100 MiB, whose size the test sets."""

    def __init__(self, **holders: tuple[str, int]) -> None:
        """Open accounts: each with its connection, and the MiB that it holds."""
        self.book = MemoryBook(MemoryLimits(process=100 * MIB))
        self.taken = 0
        self.now = 0.0
        self.trimmed = 0
        self.ended: list[str] = []
        self.watch = MemoryWatch(
            self.book, lambda: self.taken * MIB, self.trim, 4 * MIB, lambda: self.now
        )
        self.open = ExitStack()
        for name, (peer, mib) in holders.items():
            account = self.open.enter_context(self.book.account(peer, self._ender(name)))
            account.hold("ink", mib * MIB)

    def _ender(self, name: str) -> Callable[[str], None]:
        return lambda reason: self.ended.append(name)

    def trim(self) -> None:
        self.trimmed += 1


def test_the_largest_holders_are_ended_until_the_rest_fits() -> None:
    scene = Scene(small=("a", 5), large=("b", 60), middle=("a", 30), other=("c", 20))
    scene.watch.relieve()
    assert scene.ended == ["large"]
    assert scene.watch.ended == 1


def test_nobody_is_ended_twice() -> None:
    scene = Scene(large=("a", 80), middle=("b", 50))
    scene.watch.relieve()
    scene.watch.relieve()
    assert scene.ended == ["large", "middle"]


def test_memory_in_no_book_is_sought_where_most_calls_are() -> None:
    scene = Scene(one=("a", 0), two=("b", 0), three=("b", 0))
    scene.taken = 108
    scene.watch.relieve()
    assert sorted(scene.ended) == ["three", "two"]
    scene.watch.relieve()
    assert sorted(scene.ended) == ["three", "two"], "their memory has had no time to come back"
    scene.now += RELIEF_SECONDS + 1
    scene.watch.relieve()
    assert sorted(scene.ended) == ["one", "three", "two"]


def test_what_two_messages_cannot_hold_is_sought_elsewhere_at_once() -> None:
    scene = Scene(one=("a", 0), two=("b", 0), three=("b", 0))
    scene.taken = 109
    scene.watch.relieve()
    scene.watch.relieve()
    assert scene.watch.ended == 3


async def test_callers_are_refused_as_long_as_memory_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_watch, "LOOK_SECONDS", 0.001)
    scene = Scene(large=("a", 80))
    watching = asyncio.create_task(scene.watch.run())
    scene.taken = 110
    await eventually("an end", lambda: scene.ended == ["large"])
    assert scene.book.refuses()
    assert scene.trimmed
    scene.taken = 50
    await eventually("enough memory", lambda: not scene.book.is_short)
    assert not scene.book.refuses()
    assert scene.book.refused == 1
    watching.cancel()


def test_what_this_process_takes_is_known() -> None:
    assert resident() > 10 * MIB
    trim_function()()
