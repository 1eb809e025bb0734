"""Programs that fork; `test_client_fork.py` runs each in its own process.

A child that hangs is killed by its own alarm, and one that fails says why on stderr.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from inkstream import AsyncClient, Client, ClientClosed, Ink, InvalidRequest, Stroke, Tls

CHILD_SECONDS = 30
ONE = np.zeros((28, 28), np.uint8)
ONE[4:24, 12:16] = 255
STROKE = [(5.0, 5.0), (5.0, 15.0), (5.0, 30.0)]


def in_child(work: Callable[[], None], *, leave_by_exit: bool = False) -> None:
    """Fork, do the work in the child, and require that it ends well.

    Args:
        work: what the child does.
        leave_by_exit: let the child's interpreter end as usual, rather than at once.
    """
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        assert status == 0, f"the child ended with {status}"
        return
    signal.alarm(CHILD_SECONDS)
    try:
        work()
        gc.collect()
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, the test says it
        traceback.print_exc()
        os._exit(1)
    if leave_by_exit:
        sys.exit(0)
    os._exit(0)


def recognizes_one(address: str) -> None:
    """Make a client and use all its methods."""
    with Client(address) as client:
        assert client.recognize(ONE).digit == 1
        assert client.model().name
        assert [result.digit for result in client.stream([ONE] * 500)] == [1] * 500
        with client.pen(quiet_ms=200) as pen:
            pen.stroke(STROKE)
            pen.end_glyph()
            assert [result for result in pen if result.is_final]

    async def digit() -> object:
        async with AsyncClient(address) as client:
            return (await client.recognize(ONE)).digit

    assert asyncio.run(digit()) == 1


def new_client_in_child(address: str) -> None:
    with Client(address) as client:
        assert client.recognize(ONE).digit == 1
        in_child(lambda: recognizes_one(address))
        in_child(lambda: recognizes_one(address), leave_by_exit=True)
        assert client.recognize(ONE).digit == 1


def fork_after_close(address: str) -> None:
    with Client(address) as client:
        assert client.recognize(ONE).digit == 1
    in_child(lambda: recognizes_one(address), leave_by_exit=True)
    recognizes_one(address)


def fork_before_any_client(address: str) -> None:
    """A child of a process that only imported the package uses the gRPC that it inherited."""

    def work() -> None:
        recognizes_one(address)
        assert "inkstream-grpc" not in Path("/proc/self/maps").read_text()

    in_child(work)


def grpc_of_the_program(address: str) -> None:
    """The program, and not the package, has used gRPC before the fork."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(CHILD_SECONDS)
        in_child(lambda: recognizes_one(address))


def encrypted(address: str, authority: str) -> None:
    """A child encrypts as its parent does, though not with credentials that gRPC made."""
    import grpc

    tls = Tls.from_files(authority)
    made_by_grpc = grpc.ssl_channel_credentials(Path(authority).read_bytes())
    with Client(address, tls=made_by_grpc) as client:
        assert client.recognize(ONE).digit == 1

        def work() -> None:
            with Client(address, tls=tls) as own:
                assert own.recognize(ONE).digit == 1
            with (
                Client(address, tls=made_by_grpc) as own,
                pytest.raises(InvalidRequest, match=r"do not work in a forked child; pass Tls"),
            ):
                own.recognize(ONE)

        in_child(work)


def two_generations(address: str) -> None:
    with Client(address) as client:
        assert client.recognize(ONE).digit == 1

        def first() -> None:
            recognizes_one(address)
            with Client(address) as own:
                assert own.recognize(ONE).digit == 1
                in_child(lambda: recognizes_one(address), leave_by_exit=True)
                assert own.recognize(ONE).digit == 1

        in_child(first, leave_by_exit=True)
        assert client.recognize(ONE).digit == 1


def inherited(address: str) -> None:
    """Objects of the parent raise in the child at their first use and still work in the parent."""
    client = Client(address)
    stream, fresh = client.stream([ONE] * 5000), client.stream([ONE])
    assert next(stream).digit == 1
    pen, waiting = client.pen(quiet_ms=200), client.pen()
    pen.down(5, 5)
    pen.move(5, 15)
    done, under_way = client.submit(ONE), client.submit(ONE)
    done.result()
    of_a_loop = AsyncClient(address)

    def work() -> None:
        uses: list[Callable[[], object]] = [
            lambda: client.recognize(ONE),
            lambda: client.submit(ONE),
            client.model,
            lambda: client.recognize_ink(Ink((Stroke(*np.array(STROKE).T),))),
            client.pen,
            lambda: next(client.stream([ONE])),
            lambda: next(fresh),
            lambda: next(stream),
            lambda: pen.move(5, 30),
            pen.end_glyph,
            lambda: next(iter(pen)),
            lambda: waiting.stroke(STROKE),
            lambda: next(iter(waiting)),
            lambda: asyncio.run(_recognize(of_a_loop)),
            lambda: asyncio.run(_write(of_a_loop)),
        ]
        for use in uses:
            with pytest.raises(
                ClientClosed, match=r"made before os.fork.*make a new one in the child"
            ):
                use()
        assert done.result().digit == 1
        # A `with` statement of the parent that ends in the child must do nothing.
        pen.close()
        client.close()
        asyncio.run(of_a_loop.close())
        recognizes_one(address)

    in_child(work)
    in_child(work, leave_by_exit=True)
    assert len([*stream]) == 4999
    assert under_way.result(CHILD_SECONDS).digit == 1
    pen.move(5, 30)
    pen.end_glyph()
    assert [result for result in pen if result.is_final]
    client.close()


async def _recognize(client: AsyncClient) -> None:
    await client.recognize(ONE)


async def _write(client: AsyncClient) -> None:
    client.pen()


def inherited_future(address: str) -> None:
    """A future without an answer raises in the child; the answer is the parent's."""
    with Client(address) as client:
        client.recognize(ONE)
        futures = [client.submit(ONE) for _ in range(2000)]

        def work() -> None:
            answered = 0
            for future in futures:
                try:
                    answered += future.result().digit == 1
                except ClientClosed:
                    break
            assert answered < len(futures), "this test has to fork while answers are under way"

        in_child(work)
        assert [future.result(CHILD_SECONDS).digit for future in futures] == [1] * 2000


def busy_parent(address: str) -> None:
    """Fork again and again while threads recognise: neither side fails."""
    is_over = threading.Event()
    failures: list[BaseException] = []
    with Client(address) as client:

        def use() -> None:
            try:
                while not is_over.is_set():
                    assert client.recognize(ONE).digit == 1
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test says it
                failures.append(error)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()

        def work() -> None:
            with pytest.raises(ClientClosed):
                client.recognize(ONE)
            with Client(address) as own:
                assert own.recognize(ONE).digit == 1

        for number in range(12):
            in_child(work, leave_by_exit=number % 2 == 0)
        is_over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


_client: Client | None = None


def _open(address: str) -> None:
    global _client
    _client = Client(address)


def _digit(image: np.ndarray) -> object:
    assert _client is not None
    return _client.recognize(image).digit


def pools(address: str) -> None:
    """Both kinds of pool, while the parent's client is open."""
    context = multiprocessing.get_context("fork")
    with Client(address) as client:
        assert client.recognize(ONE).digit == 1
        with context.Pool(2, _open, (address,)) as pool:
            assert pool.map_async(_digit, [ONE] * 20).get(CHILD_SECONDS) == [1] * 20
        with ProcessPoolExecutor(2, context, _open, (address,)) as executor:
            assert [*executor.map(_digit, [ONE] * 20, timeout=CHILD_SECONDS)] == [1] * 20
        assert client.recognize(ONE).digit == 1


def async_parent(address: str) -> None:
    """An asyncio program hands work to processes that use their own clients."""

    async def main() -> None:
        context = multiprocessing.get_context("fork")
        async with AsyncClient(address) as client:
            assert (await client.recognize(ONE)).digit == 1
            with ProcessPoolExecutor(2, context, _open, (address,)) as executor:
                loop = asyncio.get_running_loop()
                work = [loop.run_in_executor(executor, _digit, ONE) for _ in range(20)]
                assert await asyncio.gather(*work) == [1] * 20
            assert (await client.recognize(ONE)).digit == 1

    asyncio.run(main())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
