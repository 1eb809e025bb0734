"""Both clients when streams break, buffers fill and servers refuse, over a real port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from inkstream import (
    AccessDenied,
    AccessPending,
    AsyncClient,
    Client,
    ClientClosed,
    ConnectionEvent,
    ConnectionFailed,
    ConnectionLost,
    ConnectionState,
    DeadlineExceeded,
    FatalError,
    InvalidRequest,
    Overloaded,
    Result,
    RetryPolicy,
)
from inkstream._images.exchange import WIDEST_WINDOW, Exchange
from inkstream._options.client import Options

from tests.patience import eventually
from tests.unit.client.conftest import Twin
from tests.unit.client.fake_server import FakeServer, frame

HASTY = RetryPolicy(first_delay=0.01)


@pytest.fixture
def other() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


async def test_every_change_of_the_connection_is_reported(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    events: list[ConnectionEvent] = []
    twin = connect(fake.address, retry=HASTY, on_state=events.append)
    fake.break_after = 2
    await twin.recognize(frame(1))
    await twin.recognize(frame(2))
    await twin.close()
    states = ConnectionState
    assert [event.state for event in events] == [
        states.CONNECTING,
        states.OPEN,
        states.LOST,
        states.CONNECTING,
        states.OPEN,
        states.CLOSED,
    ]
    assert {event.address for event in events} == {fake.address}
    lost = events[2]
    assert isinstance(lost.error, ConnectionLost)
    assert lost.delay is not None
    assert 0.005 <= lost.delay <= 0.01
    assert (lost.attempt, events[3].attempt) == (1, 2)


async def test_an_on_state_callback_that_fails_does_not_affect_the_connection(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    def fall_over(event: ConnectionEvent) -> None:
        raise ZeroDivisionError

    twin = connect(fake.address, on_state=fall_over)
    assert (await twin.recognize(frame(3))).digit == 3


@pytest.mark.parametrize("part", ["next_message", "receive"])
async def test_a_bug_of_the_client_is_raised_as_a_fatal_error_with_its_cause(
    fake: FakeServer,
    connect: Callable[..., Twin],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: str,
) -> None:
    def fall_over(*_: object) -> None:
        raise ZeroDivisionError("no such thing")

    twin = connect(fake.address)
    with (
        monkeypatch.context() as broken,
        pytest.raises(FatalError, match="no such thing") as raised,
    ):
        broken.setattr(Exchange, part, fall_over)
        await twin.recognize(frame(1))
    assert type(raised.value) is FatalError
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert "ZeroDivisionError: no such thing" in caplog.text
    assert (await twin.recognize(frame(2))).digit == 2


async def test_a_client_connects_to_the_address_that_answers(
    fake: FakeServer, other: FakeServer, connect: Callable[..., Twin]
) -> None:
    for addresses in ([fake.address, other.address], f"ipv4:{fake.address},{other.address}"):
        twin = connect(addresses, retry=HASTY)
        await twin.recognize(frame(1))
        assert fake.configs or other.configs
    fake.stop()
    twin = connect([fake.address, other.address], retry=RetryPolicy(first_attempts=2))
    assert (await twin.recognize(frame(4))).digit == 4
    assert (await twin.model()).name == "digits"


async def test_a_server_that_drains_is_left_for_another(
    fake: FakeServer, other: FakeServer, connect: Callable[..., Twin]
) -> None:
    twin = connect([fake.address, other.address])
    await twin.recognize(frame(0))
    first, second = (fake, other) if fake.configs else (other, fake)
    first.drain_after = 2
    results = await twin.collect(frame(n % 10) for n in range(300))
    assert [result.digit for result in results] == [n % 10 for n in range(300)]
    # Only the images in flight at the drain notice.
    assert sum(len(message.sequences) for message in first.messages[2:]) <= fake.window
    assert (len(first.configs), len(second.configs)) == (1, 1)
    assert second.messages


@pytest.mark.parametrize("kept", [1, 2])
async def test_an_image_refused_with_a_retry_after_is_resent_up_to_item_retries(
    fake: FakeServer, connect: Callable[..., Twin], kept: int
) -> None:
    fake.busy = 2
    twin = connect(fake.address, retry=RetryPolicy(item_retries=kept))
    if kept == 2:
        assert (await twin.recognize(frame(5))).digit == 5
        assert len(fake.messages) == 3
    else:
        with pytest.raises(Overloaded) as refused:
            await twin.recognize(frame(5))
        assert refused.value.retry_after == 0.01


async def test_a_retry_after_beyond_the_deadline_fails_at_once(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    fake.busy, fake.retry_after_ms = 1, 60_000
    twin = connect(fake.address, retry=RetryPolicy(item_retries=5))
    with pytest.raises(Overloaded):
        await twin.recognize(frame(5), deadline=50)


async def test_a_refusal_that_may_pass_is_retried_and_a_final_one_raised_at_once(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    twin = connect(fake.address, retry=HASTY)
    fake.pending = 2
    assert (await twin.recognize(frame(5))).digit == 5, "the first connection"
    fake.break_after, fake.pending = 2, 2
    await twin.recognize(frame(6))
    assert (await twin.recognize(frame(7))).digit == 7, "after a broken stream"
    assert fake.refusals == 4
    fake.break_after, fake.pending, fake.is_denying = 2, 1, True
    with pytest.raises(AccessDenied):
        await twin.recognize(frame(8))
    assert fake.refusals == 6


@pytest.mark.parametrize("attempts", [0, 2])
async def test_a_refusal_that_may_pass_is_raised_when_the_policy_is_exhausted(
    fake: FakeServer, connect: Callable[..., Twin], attempts: int
) -> None:
    fake.pending = 1000
    policy = RetryPolicy(first_delay=0.01, attempts=attempts)
    with pytest.raises(AccessPending):
        await connect(fake.address, retry=policy).recognize(frame(5))
    assert fake.refusals == attempts + 1
    with pytest.raises(AccessPending) as pending:
        await connect(fake.address, retry=policy).model()
    assert fake.refusals == 2 * (attempts + 1)
    assert pending.value.retry_after == 0.01


async def test_a_client_waits_as_long_as_the_server_says(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    events: list[ConnectionEvent] = []
    fake.pending, fake.retry_after_ms = 1, 300
    twin = connect(fake.address, retry=HASTY, on_state=events.append)
    await twin.recognize(frame(5))
    (lost,) = (event for event in events if event.state is ConnectionState.LOST)
    assert isinstance(lost.error, AccessPending)
    assert lost.delay == 0.3


async def test_a_unary_call_is_retried_while_the_refusal_may_pass_before_its_deadline(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    fake.pending = 2
    assert (await connect(fake.address).model()).name == "digits"
    fake.pending, fake.retry_after_ms = 1, 60_000
    with pytest.raises(AccessPending):
        await connect(fake.address, connect_timeout=20).model()
    fake.is_denying = True
    with pytest.raises(AccessDenied):
        await connect(fake.address).model()


async def test_closing_a_client_waits_for_images_that_are_to_be_resent(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    fake.busy, fake.retry_after_ms = 1, 100
    twin = connect(fake.address, retry=RetryPolicy(item_retries=1))
    future = await twin.submit(frame(6))
    assert await asyncio.to_thread(fake.arrived.acquire, timeout=30)
    await twin.close()
    assert (await future).digit == 6


async def test_an_image_that_breaks_every_stream_is_failed(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    fake.break_after = 1
    twin = connect(fake.address, retry=RetryPolicy(first_delay=0.001, resends=3))
    with pytest.raises(ConnectionLost):
        await twin.recognize(frame(1))
    assert len(fake.messages) == 4


async def test_a_full_buffer_raises_if_when_full_is_raise(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    fake.answering.clear()
    twin = connect(fake.address, buffer=10, when_full="raise")
    futures = [await twin.submit(frame(1)) for _ in range(10)]
    with pytest.raises(Overloaded, match="buffer"):
        for _ in range(fake.window + 10):
            futures.append(await twin.submit(frame(1)))
    fake.answering.set()
    assert {result.digit for result in await asyncio.gather(*futures)} == {1}


async def test_a_full_buffer_blocks_a_task_until_there_is_room(fake: FakeServer) -> None:
    fake.answering.clear()
    done = 0
    async with AsyncClient(fake.address, buffer=10) as client:

        async def submit_all() -> list[asyncio.Future[Result]]:
            nonlocal done
            futures = []
            for _ in range(300):
                futures.append(await client.submit(frame(2)))
                done += 1
            return futures

        submitting = asyncio.create_task(submit_all())
        most = fake.window + 10
        await eventually("the buffer is full", lambda: done >= most)
        with pytest.raises(DeadlineExceeded, match="room"):
            await client.submit(frame(3), deadline=0.05)
        with pytest.raises(DeadlineExceeded):
            await client.recognize(frame(3), deadline=0.05)
        assert done == most
        fake.answering.set()
        results = await asyncio.gather(*await submitting)
    assert [result.digit for result in results] == [2] * 300


def test_a_full_buffer_blocks_a_thread_until_there_is_room(fake: FakeServer) -> None:
    fake.answering.clear()
    with Client(fake.address, buffer=10) as client, ThreadPoolExecutor() as threads:
        submitting = threads.submit(lambda: [client.submit(frame(2)) for _ in range(300)])
        with pytest.raises(DeadlineExceeded, match="room"):
            while True:
                client.submit(frame(3), deadline=0.2)
        fake.answering.set()
        futures = submitting.result(30)
        assert [future.result(30).digit for future in futures] == [2] * 300


def test_a_callback_does_not_wait_for_room_that_only_its_thread_can_make(fake: FakeServer) -> None:
    fake.answering.clear()
    raised: list[BaseException | None] = []
    done = threading.Event()
    with Client(fake.address, buffer=1) as client:
        first = client.submit(frame(1))

        def again(_: object) -> None:
            try:
                for _ in range(fake.window + 2):
                    client.submit(frame(2))
                raised.append(None)
            except Overloaded as error:
                raised.append(error)
            done.set()

        first.add_done_callback(again)
        fake.answering.set()
        assert done.wait(30)
        assert isinstance(raised[0], Overloaded)


async def test_by_default_a_failed_first_attempt_is_not_retried(
    connect: Callable[..., Twin],
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match="inkstream-server serve"):
            await connect(address).recognize(frame(1))
        with pytest.raises(ConnectionFailed, match="gave up after 3 attempts"):
            await connect(address, retry=RetryPolicy(first_delay=0.01, first_attempts=3)).recognize(
                frame(1)
            )


@pytest.mark.parametrize(
    ("address", "targets"),
    [
        ("localhost:1", ("localhost:1",)),
        ("a:1, b:2", ("a:1", "b:2")),
        (["a:1", "b:2"], ("a:1", "b:2")),
        ("ipv4:1.2.3.4:1,1.2.3.5:1", ("ipv4:1.2.3.4:1,1.2.3.5:1",)),
        ("dns:///here:1", ("dns:///here:1",)),
    ],
)
def test_an_address_may_name_several_servers(address: str | list[str], targets: object) -> None:
    assert Options(address=address).targets == targets


@pytest.mark.parametrize("target", ["ipv4:1.2.3.4:1,1.2.3.5:1", "dns:///here:1"])
def test_a_target_of_several_servers_is_balanced(target: str) -> None:
    assert (
        "round_robin"
        in dict(Options(address=target).channel_arguments(target))["grpc.service_config"]
    )


@pytest.mark.parametrize(
    "wrong", [{"address": []}, {"address": "a:1,"}, {"buffer": 0}, {"when_full": "drop"}]
)
def test_options_of_the_connection_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    options: dict[str, object] = {"address": "localhost:1", **wrong}
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        Client(**options)  # type: ignore[arg-type]  # wrong on purpose


def test_the_repr_of_a_client_shows_all_its_addresses() -> None:
    with Client(["a:1", "b:2"]) as client:
        assert repr(client) == "Client('a:1,b:2')"


def test_closing_a_client_ends_the_wait_of_every_thread(fake: FakeServer) -> None:
    fake.answering.clear()
    client = Client(fake.address, buffer=1)
    with ThreadPoolExecutor() as threads:
        submitting = threads.submit(lambda: [client.submit(frame(2)) for _ in range(300)])
        assert fake.arrived.acquire(timeout=30)
        client.close(0.0)
        assert submitting.exception(30) is not None


async def test_closing_a_client_while_its_server_is_away_fails_waiting_calls(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    twin = connect(fake.address, retry=HASTY)
    await twin.recognize(frame(1))
    fake.stop()
    waiting = await twin.submit(frame(2))
    await twin.close(0.05)
    with pytest.raises(ClientClosed):
        await waiting


async def test_a_deadline_passes_while_a_silent_server_fills_its_window() -> None:
    fake = FakeServer(window=1)
    try:
        async with AsyncClient(fake.address) as client:
            fake.answering.clear()
            under_way = await client.submit(frame(1))
            waits = await client.submit(frame(2), deadline=0.05)
            with pytest.raises(DeadlineExceeded):
                async with asyncio.timeout(30):
                    await waits
            assert not under_way.done(), "it was the window that waited"
            fake.answering.set()
            assert (await under_way).digit == 1
            assert (await client.recognize(frame(3))).digit == 3
    finally:
        fake.stop()


async def test_no_server_makes_a_client_send_without_bounds() -> None:
    fake = FakeServer(window=(1 << 32) - 1)
    try:
        async with AsyncClient(fake.address) as client:
            await client.recognize(frame(1))
            assert client._connection.window == WIDEST_WINDOW
    finally:
        fake.stop()
