"""The sync client only: threads, generators, `with`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from inkstream import Client, ClientClosed, OneImage

from tests.unit.client.fake_server import FakeServer, frame


def test_a_live_source_that_pauses_delays_no_result(fake: FakeServer) -> None:
    seen = threading.Event()

    def live() -> Iterator[np.ndarray]:
        yield frame(1)
        assert seen.wait(30)
        yield frame(2)

    with Client(fake.address) as client:
        results = client.stream(live())
        assert next(results).digit == 1
        seen.set()
        assert [result.digit for result in results] == [2]


def test_an_endless_source_is_read_no_further_than_two_windows_ahead(fake: FakeServer) -> None:
    drawn = itertools.count()
    last = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal last
        for last in drawn:
            yield frame(last % 10)

    with Client(fake.address) as client:
        client.recognize(frame(0))
        results = client.stream(endless())
        for read in range(1000):
            assert next(results).digit == read % 10
            assert last <= read + 2 * fake.window + 1


def test_closing_a_stream_early_stops_its_source(fake: FakeServer) -> None:
    ended = threading.Event()

    def source() -> Iterator[np.ndarray]:
        try:
            yield from itertools.repeat(frame(1))
        finally:
            ended.set()

    with Client(fake.address) as client:
        results = client.stream(source())
        next(results)
        results.close()  # type: ignore[attr-defined]  # it is a generator
        del results
        assert ended.wait(30)
        assert client.recognize(frame(3)).digit == 3


def test_threads_share_a_client(fake: FakeServer) -> None:
    with Client(fake.address) as client, ThreadPoolExecutor(16) as threads:
        images = [frame(n % 10) for n in range(400)]

        def recognize(image: OneImage) -> int:
            return client.recognize(image).digit

        answers = list(threads.map(recognize, images))
    assert answers == [n % 10 for n in range(400)]
    assert len(fake.configs) == 1


def test_clients_of_a_process_share_a_thread(fake: FakeServer) -> None:
    with Client(fake.address) as one, Client(fake.address) as two:
        one.recognize(frame(1))
        two.recognize(frame(1))
        assert [t.name for t in threading.enumerate()].count("inkstream") == 1
    assert len(fake.configs) == 2


def test_leaving_the_with_block_by_an_error_does_not_wait(fake: FakeServer) -> None:
    fake.answering.clear()
    with pytest.raises(ZeroDivisionError), Client(fake.address) as client:
        future = client.submit(frame(1))
        assert fake.arrived.acquire(timeout=30)
        raise ZeroDivisionError
    with pytest.raises(ClientClosed):
        future.result(30)


def test_the_repr_of_a_client_shows_its_address(fake: FakeServer) -> None:
    client = Client(fake.address)
    assert client.address == fake.address
    assert repr(client) == f"Client('{fake.address}')"
    client.close()
