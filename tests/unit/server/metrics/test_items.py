from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.batching.blocks import Answer, Block, Part
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.results import Batch
from inkstream_server.metrics.items import KINDS, OUTCOMES

from tests.unit.server.builders import NumberEngine, Workshop, model_of, network

NAMES = {
    "inkstream_items",
    "inkstream_item_latency_seconds",
    "inkstream_queue_seconds",
    "inkstream_inference_seconds",
    "inkstream_batch_size",
    "inkstream_queue_depth",
    "inkstream_streams",
    "inkstream_predictions",
    "inkstream_confidence",
    "inkstream_model_info",
}


def a_batch(digits: list[int], confidence: float = 0.75, seconds: float = 0.01) -> Batch:
    probabilities = np.zeros((len(digits), 10), np.float32)
    probabilities[range(len(digits)), digits] = confidence
    return Batch("digits/1", probabilities, 0.0, seconds)


def part_that_waited(seconds: float, rows: int) -> Part:
    """A whole block that waited `seconds` for a batch that started at 0."""
    answer = cast(Answer, None)
    return Block([], rows, None, -seconds, answer, network(NumberEngine()), 1), 0, rows


def test_every_fixed_name_is_present_before_the_first_item() -> None:
    families = {family.name for family in Workshop().registry.collect()}
    assert families >= NAMES


def test_every_outcome_is_present_before_it_happens() -> None:
    workshop = Workshop()
    for kind in KINDS:
        for outcome in OUTCOMES:
            assert workshop.ended(outcome, kind) == 0
        assert workshop.value("inkstream_item_latency_seconds_count", kind=kind) == 0
    for digit in "0123456789":
        assert workshop.value("inkstream_predictions_total", digit=digit) == 0


def test_batch_sizes_have_a_bucket_for_each_power_of_two() -> None:
    workshop = Workshop()
    workshop.metrics.computed(a_batch([1] * 5), [part_that_waited(0.0, 5)])
    for bound, count in (("1.0", 0), ("4.0", 0), ("8.0", 1), ("256.0", 1), ("+Inf", 1)):
        assert workshop.value("inkstream_batch_size_bucket", network="image", le=bound) == count


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), max_size=6))
def test_batches_add_up_item_by_item(batches: list[list[int]]) -> None:
    workshop = Workshop()
    for digits in batches:
        parts = [part_that_waited(0.5, 1), part_that_waited(0.25, len(digits) - 1)]
        workshop.metrics.computed(a_batch(digits), parts)
    items = sum(map(len, batches))
    value = workshop.value
    assert value("inkstream_batch_size_count", network="image") == len(batches)
    assert value("inkstream_batch_size_sum", network="image") == items
    assert value("inkstream_queue_seconds_count") == items
    waited = sum(0.5 + 0.25 * (len(digits) - 1) for digits in batches)
    assert value("inkstream_queue_seconds_sum") == pytest.approx(waited)
    assert value("inkstream_inference_seconds_count", network="image") == items
    assert value("inkstream_inference_seconds_sum", network="image") == pytest.approx(0.01 * items)
    assert value("inkstream_confidence_count") == items
    assert value("inkstream_confidence_sum") == pytest.approx(0.75 * items)
    for digit in range(10):
        found = sum(digits.count(digit) for digits in batches)
        assert value("inkstream_predictions_total", digit=str(digit)) == found


def test_a_message_counts_once_for_each_of_its_items() -> None:
    workshop = Workshop()
    workshop.metrics.handed_over("tensor", 0.003, 64)
    workshop.metrics.ended("tensor", "ok", 60)
    workshop.metrics.ended("tensor", "invalid", 4)
    value = workshop.value
    assert value("inkstream_item_latency_seconds_count", kind="tensor") == 64
    assert value("inkstream_item_latency_seconds_bucket", kind="tensor", le="0.002") == 0
    assert value("inkstream_item_latency_seconds_bucket", kind="tensor", le="0.004") == 64
    assert value("inkstream_item_latency_seconds_count", kind="ink") == 0
    assert (workshop.ended("ok"), workshop.ended("invalid"), workshop.ended("failed")) == (60, 4, 0)


def test_a_failed_batch_is_counted_and_adds_no_prediction() -> None:
    workshop = Workshop()
    workshop.metrics.failed(RuntimeError("broken"), [], 0.0)
    assert workshop.value("inkstream_failed_batches_total") == 1
    assert workshop.value("inkstream_batch_size_count", network="image") == 0


def test_batches_of_the_network_for_strokes_count_apart_and_their_items_once() -> None:
    workshop = Workshop()
    glyphs = Batch("digits/4", a_batch([3, 4]).probabilities, 0.0, 0.02, kind="strokes")
    workshop.metrics.computed(glyphs, [part_that_waited(0.0, 2)])
    value = workshop.value
    for name, count in (("image", 0), ("strokes", 2)):
        assert value("inkstream_batch_size_sum", network=name) == count
        assert value("inkstream_inference_seconds_count", network=name) == count
    assert value("inkstream_queue_seconds_count") == value("inkstream_confidence_count") == 2
    assert value("inkstream_predictions_total", digit="3") == 1


async def test_the_queue_depth_is_read_at_each_scrape() -> None:
    workshop = Workshop()
    assert workshop.value("inkstream_queue_depth", kind="tensor") == 0
    workshop.batcher.submit(np.zeros((3, 784), np.uint8))
    for priority in (Priority.GLYPH, Priority.INTERIM):
        workshop.batcher.submit(np.zeros((1, 784), np.uint8), priority=priority)
    assert workshop.value("inkstream_queue_depth", kind="tensor") == 3
    assert workshop.value("inkstream_queue_depth", kind="ink") == 2
    await workshop.dispatcher.close()
    assert workshop.value("inkstream_queue_depth", kind="tensor") == 0


def test_only_the_model_that_answers_is_named() -> None:
    workshop = Workshop()
    for version in ("1", "2"):
        model = model_of(NumberEngine(), f"digits/{version}", f"abc{version}")
        workshop.metrics.serving(model)
    (family,) = (it for it in workshop.registry.collect() if it.name == "inkstream_model_info")
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"name": "digits", "version": "2", "engine": "number", "sha256": "abc2"}, 1.0)
    ]


def test_two_servers_in_one_process_count_separately() -> None:
    one, other = Workshop(), Workshop()
    one.metrics.ended("tensor", "ok", 5)
    assert (one.ended("ok"), other.ended("ok")) == (5, 0)
