"""Measures images a second over a line with a delay, by how far the server reads ahead on a stream.

    python -m benchmarks.long_line --rtt 0.1

A TCP proxy delays every byte by half of the round trip. It runs in this process, with the load: compare the
rates with each other only.
"""

import asyncio
import os
from time import perf_counter

import click
import grpc
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream.v1 import tensor_pb2
from inkstream.v1.recognition_service_pb2_grpc import RecognitionServiceStub
from inkstream_server.rpc.listener import LOOKAHEAD_BYTES

from benchmarks.servers import processes
from tests.system.faults.proxy import FaultProxy, Weather

SECONDS = 5.0
WINDOW = 4096
"""Images of a stream in flight, as the server allows."""
CASES = ((1, 64), (1, 1024), (8, 64))
"""Streams, and images a message."""
SERVERS = ("probe", "65535", "262144", str(LOOKAHEAD_BYTES), "4194304")


class Stream:
    """One stream that keeps its window full."""

    def __init__(self, stub: RecognitionServiceStub, frames: int) -> None:
        """Prepare to send messages of `frames` images."""
        self._stub = stub
        self._frames = frames
        self._free = asyncio.Event()
        self._sent = self._answered = 0

    async def run(self) -> float:
        """Send and read for a while; give the answers a second, without those of the first second."""
        call = self._stub.StreamRecognize()
        await call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig()))
        await call.read()
        sending = asyncio.create_task(self._send(call))
        counts_from = perf_counter() + 1
        end, counted = counts_from + SECONDS, 0
        while (now := perf_counter()) < end:
            answers = await call.read()
            count = sum(len(group.sequences) for group in answers.tensors)
            self._answered += count
            counted += count if now > counts_from else 0
            self._free.set()
        sending.cancel()
        call.cancel()
        return counted / SECONDS

    async def _send(self, call: "grpc.aio.StreamStreamCall[object, object]") -> None:
        pixels = bytes(784 * self._frames)
        while True:
            while self._sent - self._answered >= WINDOW:
                self._free.clear()
                await self._free.wait()
            sequences = range(self._sent, self._sent + self._frames)
            self._sent += self._frames
            images = tensor_pb2.Tensors(sequences=sequences, uint8=pixels)
            await call.write(pb.StreamRecognizeRequest(tensors=images))


async def measure(address: str, rtt: float) -> list[float]:
    """Give images a second in each case."""
    proxy = FaultProxy(address)
    proxy.weather = Weather(delay=rtt / 2)
    await proxy.start()
    rates = []
    for streams, frames in CASES:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(proxy.address, options=options) as channel:
            stub = RecognitionServiceStub(channel)
            runs = [Stream(stub, frames).run() for _ in range(streams)]
            rates.append(sum(await asyncio.gather(*runs)))
    await proxy.stop()
    return rates


@click.command()
@click.option("--rtt", default=0.1, show_default=True, help="Round trip in seconds.")
def main(rtt: float) -> None:
    """Print a row of rates for each server."""
    heads = [f"{streams} x {frames}" for streams, frames in CASES]
    click.echo(f"| reads ahead | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for wanted in SERVERS:
        os.environ["INKSTREAM_LOOKAHEAD"] = wanted
        with processes.server(module="benchmarks.servers.lookahead") as running:
            rates = asyncio.run(measure(running.address, rtt))
        click.echo(f"| {wanted} | {' | '.join(f'{rate:,.0f}' for rate in rates)} |")


if __name__ == "__main__":
    main()
