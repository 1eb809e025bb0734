from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from inkstream import InvalidImage
from inkstream._images.waiters import Collector, End, OrderedResults, Piece, Rows
from inkstream._results.images import Answers
from inkstream.v1 import tensor_pb2

ANSWERS = Answers(
    tensor_pb2.TensorResults(
        sequences=range(64), digits=[n % 10 for n in range(64)], confidences=[0.5] * 64
    )
)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.randoms())
def test_ordered_results_leave_in_order_for_any_order_of_arrival(
    counts: list[int], chance: object
) -> None:
    pieces: list[Piece] = []
    flow = OrderedResults(pieces.append)
    starts = [sum(counts[:n]) for n in range(len(counts))]
    arrivals = list(zip(starts, counts, strict=True))
    chance.shuffle(arrivals)  # type: ignore[attr-defined]  # hypothesis' own Random
    flow.end(sum(counts), None)
    for start, count in arrivals:
        flow.deliver(start, ANSWERS, start, start + count)
    *rows, end = pieces
    assert [piece.start for piece in rows if isinstance(piece, Rows)] == starts
    assert end == End(0, None)


def test_a_collector_is_done_once_and_reports_the_first_error() -> None:
    done: list[bool] = []
    collector = Collector(4, lambda: done.append(True))
    collector.fail(3, 1, InvalidImage("third"))
    collector.deliver(0, ANSWERS, 0, 2)
    assert not done
    collector.fail(2, 1, InvalidImage("second"))
    assert done == [True]
    try:
        collector.outcome()
    except InvalidImage as error:
        assert str(error) == "second"
