from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.limits.reads import Reads


def test_the_connection_with_the_most_messages_gives_way_with_its_oldest() -> None:
    reads = Reads(3)
    ended: list[str] = []
    with ExitStack() as held:
        for name, connection in (("calm", "a"), ("old", "b"), ("young", "b"), ("new", "c")):
            held.enter_context(reads.reading(connection, lambda name=name: ended.append(name)))  # type: ignore[misc]  # a default argument
        assert ended == ["old"]
        assert len(reads) == 3
    assert len(reads) == 0


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 5))
def test_there_are_never_more_than_the_most_and_each_is_counted_once(
    connections: list[str], most: int
) -> None:
    reads = Reads(most)
    ended: list[str] = []
    with ExitStack() as held:
        for number, connection in enumerate(connections, 1):
            held.enter_context(reads.reading(connection, lambda: ended.append("")))
            assert len(reads) == min(number, most)
            assert len(ended) == max(0, number - most)
    assert len(reads) == 0
