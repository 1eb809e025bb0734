"""Both clients, over a real port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from inkstream import (
    AccessDenied,
    AsyncClient,
    ClientClosed,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    InputError,
    InvalidImage,
    InvalidRequest,
    ModelNotFound,
    ProtocolError,
    Result,
    RetryableError,
    RetryPolicy,
    Tls,
)

from tests.unit.client.conftest import Twin
from tests.unit.client.fake_server import REFUSED, FakeServer, frame, pixels_of


def digits(results: list[Result]) -> list[int]:
    return [result.digit for result in results]


async def arrival(fake: FakeServer) -> None:
    """Wait for the next message of tensors to reach the server."""
    assert await asyncio.to_thread(fake.arrived.acquire, timeout=30)


async def test_one_image_gets_one_result(twin: Twin) -> None:
    result = await twin.recognize(frame(7, 51))
    assert (result.digit, round(result.confidence, 6)) == (7, 0.2)


async def test_an_array_gets_a_list_in_order(twin: Twin) -> None:
    images = np.stack([frame(n % 10) for n in range(150)])
    assert digits(await twin.recognize(images)) == [n % 10 for n in range(150)]
    assert digits(await twin.recognize(images[:1])) == [0]
    assert await twin.recognize(images[:0]) == []


async def test_floats_and_bytes_may_be_mixed(twin: Twin, fake: FakeServer) -> None:
    mixed = [frame(n % 10) / 255 if n % 3 else frame(n % 10) for n in range(60)]
    assert digits(await twin.collect(mixed)) == [n % 10 for n in range(60)]


async def test_a_stream_of_single_images_is_packed_and_stays_in_order(
    twin: Twin, fake: FakeServer
) -> None:
    results = await twin.collect(frame(n % 10) for n in range(1000))
    assert digits(results) == [n % 10 for n in range(1000)]
    sizes = [len(message.sequences) for message in fake.messages]
    assert max(sizes) <= fake.max_frames
    assert len(sizes) < 500
    sent = np.concatenate([pixels_of(message) for message in fake.messages])
    assert [int(pixels[0]) for pixels in sent] == [n % 10 for n in range(1000)]


@pytest.mark.parametrize("shape", [(-1, 28, 28), (-1, 784), (-1, 28, 28, 1)])
async def test_a_stream_accepts_a_whole_array(twin: Twin, shape: tuple[int, ...]) -> None:
    images = np.stack([frame(n % 10) for n in range(300)]).reshape(shape)
    assert digits(await twin.collect(images)) == [n % 10 for n in range(300)]
    assert digits(await twin.collect(images[:20] / 255)) == [n % 10 for n in range(20)]


async def test_a_stream_accepts_arrays_among_single_images(twin: Twin) -> None:
    pair = np.stack([frame(1), frame(2)])
    assert digits(await twin.collect([pair, frame(3), pair[:0], pair])) == [1, 2, 3, 1, 2]
    assert digits(await twin.collect(frame(4))) == [4]
    assert await twin.collect([]) == []


async def test_a_bad_image_in_a_stream_does_not_affect_its_neighbours(twin: Twin) -> None:
    images = [frame(1), frame(REFUSED), frame(2), np.zeros((3, 3)), frame(3)]
    first, by_server, second, by_client, third = await twin.collect(images, return_exceptions=True)
    assert digits([first, second, third]) == [1, 2, 3]
    assert isinstance(by_server, InvalidImage)
    assert by_server.field == "tensors.uint8"
    assert isinstance(by_client, InvalidImage)


@pytest.mark.parametrize("bad", [frame(REFUSED), np.zeros((3, 3))])
async def test_a_bad_image_raises_in_its_turn(
    fake: FakeServer, connect: Callable[..., Twin], bad: np.ndarray
) -> None:
    twin = connect(fake.address)
    seen: list[str] = []

    def source() -> Iterator[np.ndarray]:
        yield frame(1)
        yield bad
        seen.append("asked on")
        yield frame(2)

    with pytest.raises(InvalidImage):
        await twin.collect(source())
    with pytest.raises(InvalidImage):
        await twin.recognize(np.stack([frame(1), frame(REFUSED)]))
    assert (await twin.recognize(frame(5))).digit == 5


async def test_an_error_of_the_source_reaches_the_caller(twin: Twin) -> None:
    def source() -> Iterator[np.ndarray]:
        yield frame(1)
        raise ZeroDivisionError("the camera is gone")

    with pytest.raises(ZeroDivisionError, match="camera"):
        await twin.collect(source(), return_exceptions=True)


async def test_many_streams_and_calls_share_one_stream(twin: Twin, fake: FakeServer) -> None:
    async def one(n: int) -> None:
        assert (await twin.recognize(frame(n))).digit == n

    streams = [twin.collect([frame(n)] * 100) for n in range(3)]
    *many, _ = await asyncio.gather(*streams, asyncio.gather(*(one(n) for n in range(8))))
    assert [set(digits(results)) for results in many] == [{0}, {1}, {2}]
    assert len(fake.configs) == 1


async def test_submitted_images_come_back_as_futures(twin: Twin) -> None:
    futures = [await twin.submit(frame(n)) for n in range(8)]
    assert digits(await asyncio.gather(*futures)) == list(range(8))
    with pytest.raises(InvalidImage):
        await (await twin.submit(frame(REFUSED)))
    with pytest.raises(InvalidImage, match="expected one"):
        await twin.submit(np.zeros((2, 28, 28), np.uint8))


async def test_a_cancelled_call_does_not_affect_others_in_its_message(
    twin: Twin, fake: FakeServer
) -> None:
    fake.answering.clear()
    first = await twin.submit(frame(0))
    await arrival(fake)
    mates = [await twin.submit(frame(n)) for n in range(1, 6)]
    first.cancel()
    mates[2].cancel()
    fake.answering.set()
    results = await asyncio.gather(*mates, return_exceptions=True)
    assert isinstance(results.pop(2), asyncio.CancelledError)
    assert digits([r for r in results if isinstance(r, Result)]) == [1, 2, 4, 5]
    assert (await twin.recognize(frame(6))).digit == 6


IMPATIENT = RetryPolicy(attempts=0)


async def test_after_a_broken_stream_a_new_one_continues_without_an_error(
    twin: Twin, fake: FakeServer
) -> None:
    fake.break_after = 2
    assert [(await twin.recognize(frame(n))).digit for n in range(5)] == list(range(5))
    assert len(fake.configs) > 2


async def test_images_of_a_broken_stream_are_resent_and_answered_once(
    twin: Twin, fake: FakeServer
) -> None:
    fake.break_after = 3
    results = await twin.collect([frame(n % 10, n % 256) for n in range(300)])
    assert digits(results) == [n % 10 for n in range(300)]
    assert [round(result.confidence * 255) for result in results] == [n % 256 for n in range(300)]
    sent = sum(len(message.sequences) for message in fake.messages)
    assert sent > 300
    assert max(len(message.sequences) for message in fake.messages) <= fake.max_frames


async def test_without_retries_unanswered_images_fail_and_the_next_call_works(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    twin = connect(fake.address, retry=IMPATIENT)
    fake.break_after = 2
    assert (await twin.recognize(frame(1))).digit == 1
    with pytest.raises(ConnectionLost) as lost:
        await twin.recognize(frame(2))
    assert isinstance(lost.value, RetryableError)
    assert fake.address in str(lost.value)
    fake.break_after = None
    assert (await twin.recognize(frame(3))).digit == 3


async def test_each_image_of_a_broken_stream_is_accounted_for(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    twin = connect(fake.address, retry=IMPATIENT)
    fake.break_after = 3
    results = await twin.collect([frame(1)] * 300, return_exceptions=True)
    assert len(results) == 300
    answered = [result for result in results if isinstance(result, Result)]
    lost = [result for result in results if isinstance(result, ConnectionLost)]
    assert len(answered) + len(lost) == 300
    assert answered
    assert lost


async def test_after_the_last_retry_the_error_names_the_server(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    twin = connect(fake.address, retry=RetryPolicy(attempts=2, first_delay=0.01))
    await twin.recognize(frame(1))
    fake.stop()
    with pytest.raises(ConnectionFailed, match="gave up after 3 attempts") as gone:
        await twin.recognize(frame(1))
    assert fake.address in str(gone.value)


async def test_a_draining_server_finishes_and_the_rest_goes_to_the_next_stream(
    twin: Twin, fake: FakeServer
) -> None:
    fake.drain_after = 1
    results = await twin.collect(frame(n % 10) for n in range(200))
    assert digits(results) == [n % 10 for n in range(200)]
    assert len(fake.configs) > 1


async def test_a_deadline_ends_the_wait(twin: Twin, fake: FakeServer) -> None:
    fake.answering.clear()
    with pytest.raises(DeadlineExceeded):
        await twin.recognize(frame(1), deadline=0.05)
    fake.answering.set()
    assert (await twin.recognize(frame(2), deadline=30)).digit == 2
    assert [list(message.deadlines_ms) != [] for message in fake.messages] == [True, True]
    with pytest.raises(InvalidRequest, match="deadline"):
        await twin.recognize(frame(1), deadline=0)


async def test_closing_waits_for_unanswered_images(twin: Twin, fake: FakeServer) -> None:
    futures = [await twin.submit(frame(n % 10)) for n in range(100)]
    await twin.close()
    assert digits([future.result() for future in futures if await asyncio.wait([future])]) == [
        n % 10 for n in range(100)
    ]
    with pytest.raises(ClientClosed):
        await twin.recognize(frame(1))


async def test_closing_without_grace_fails_unanswered_images(twin: Twin, fake: FakeServer) -> None:
    fake.answering.clear()
    futures = [await twin.submit(frame(1)) for _ in range(100)]
    await arrival(fake)
    await twin.close(0.0)
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ClientClosed}


async def test_a_closed_client_sends_nothing(twin: Twin) -> None:
    await twin.close()
    with pytest.raises(ClientClosed):
        await twin.model()
    with pytest.raises(ClientClosed):
        await twin.collect([frame(1)])


async def test_closing_twice_or_unused_is_fine(twin: Twin) -> None:
    await twin.close()
    await twin.close()


async def test_requested_fields_are_sent_with_the_configuration_of_the_stream(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    twin = connect(
        fake.address,
        model="digits",
        top_k=2,
        probabilities=True,
        timings=True,
        client_label="till",
        metadata=(("x-tenant", "school-7"),),
        token="x",
        token_without_tls=True,
    )
    result = await twin.recognize(frame(9, 255))
    assert result.alternatives == ((9, 1.0), (0, 0.5))
    assert result.probabilities[9] == 1.0
    assert (result.queued, result.inferred) == (0.0015, 0.00025)
    assert (fake.configs[0].model, fake.configs[0].client_label) == ("digits", "till")
    assert fake.metadata[0]["authorization"] == "Bearer x"
    assert fake.metadata[0]["x-tenant"] == "school-7"


async def test_a_server_describes_its_model(twin: Twin) -> None:
    model = await twin.model()
    assert (model.name, model.version, model.engine) == ("digits", "1", "fake")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("absent", ModelNotFound),
        ("secret", AccessDenied),
        ("leaving", ConnectionLost),
        ("stranger", ProtocolError),
    ],
)
async def test_the_error_of_a_stream_that_cannot_open_names_the_reason(
    fake: FakeServer, connect: Callable[..., Twin], name: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await connect(fake.address, model=name).recognize(frame(1))


async def test_an_absent_model_is_an_input_error(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    with pytest.raises(ModelNotFound) as absent:
        await connect(fake.address, model="absent").model()
    assert isinstance(absent.value, InputError)


async def test_an_address_without_a_listener_is_named(connect: Callable[..., Twin]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        for call in (connect(address).recognize(frame(1)), connect(address).model()):
            with pytest.raises(ConnectionFailed, match=address):
                await call


async def test_an_address_that_stays_silent_fails_after_the_timeout(
    connect: Callable[..., Twin],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match=address):
            await connect(address, connect_timeout=0.2).recognize(frame(1))


async def test_plain_text_behind_tls_fails_to_connect(
    fake: FakeServer, connect: Callable[..., Twin]
) -> None:
    with pytest.raises(ConnectionFailed, match="TLS"):
        await connect(fake.address, tls=Tls(), connect_timeout=5).recognize(frame(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": 11},
        {"connect_timeout": 0},
        {"address": ""},
        {"top_k": -1},
        {"packet_ms": 0},
        {"packet_ms": 51},
    ],
)
def test_options_out_of_range_are_refused_at_once(wrong: dict[str, object]) -> None:
    options: dict[str, object] = {"address": "localhost:1", **wrong}
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        AsyncClient(**options)  # type: ignore[arg-type]  # wrong on purpose
