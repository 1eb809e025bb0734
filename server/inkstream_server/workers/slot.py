"""The place of one worker: a dead worker is replaced, until the slot is given up."""

import asyncio
import json
import multiprocessing
import os
import socket
from collections import deque
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Any

from inkstream_server import logs
from inkstream_server.config import Config
from inkstream_server.errors import StartError, WorkersFailed
from inkstream_server.process import signals
from inkstream_server.workers import worker
from inkstream_server.workers.metric_sums import MetricSums
from inkstream_server.workers.restarts import Restarts

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of the longest line from a worker; a report takes about 90 kB."""

EXIT_SECONDS = 5.0
"""How long a process may take to end after it closed its socket; then it is killed."""


class WorkerSlot:
    """Keeps one worker process running. Use it in one event loop."""

    def __init__(self, number: int, config: Config, port: int, sums: MetricSums) -> None:
        """Prepare; no process is started yet."""
        self.number = number
        self.serves = asyncio.Event()
        """Set while the worker serves."""
        self.serving: dict[str, str] = {}
        """Model and engine, as the worker named them when it began to serve."""
        self.restarts = 0
        """How often the worker was restarted."""
        self._config = config
        self._port = port
        self._sums = sums
        self._given_up = asyncio.Event()
        self._announced = False
        self._process: SpawnProcess | None = None
        self._lines: asyncio.StreamWriter | None = None
        self._awaited: deque[asyncio.Future[None]] = deque()

    async def keep(self) -> None:
        """Run a worker, and restart it when it dies, until the slot is given up.

        Raises:
            StartError: the first worker died before all workers served.
            WorkersFailed: the worker died too often in a row.
        """
        restarts = Restarts(self._config.max_restarts)
        while not self._given_up.is_set():
            began = monotonic()
            failure, exit_code = await self._run_worker()
            if self._given_up.is_set():
                return
            reason = failure or f"worker {self.number} ended with exit code {exit_code}"
            if not self._announced:
                raise StartError(reason)
            pause = restarts.pause(monotonic() - began)
            logs.get().error(
                "worker_died",
                worker=self.number,
                exit_code=exit_code,
                reason=failure,
                restart_in_s=pause,
            )
            if pause is None:
                raise WorkersFailed(
                    f"{reason}, after {self._config.max_restarts} restarts in a row: see the log; "
                    "--max-restarts allows more"
                )
            try:
                await asyncio.wait_for(self._given_up.wait(), pause)
            except TimeoutError:
                self.restarts += 1

    def announce(self) -> None:
        """Let the worker, and every later one, report its health as SERVING."""
        self._announced = True
        self._send("announce")

    async def report(self) -> None:
        """Ask the worker for a report; returns when the sums have it or the worker has died."""
        if self.serves.is_set():
            answered = asyncio.get_running_loop().create_future()
            self._awaited.append(answered)
            self._send("report")
            await answered

    def give_up(self) -> None:
        """Drain the worker and start no other."""
        self._given_up.set()
        if self._process is not None:
            self._process.terminate()

    def signal(self, number: int) -> None:
        """Pass a signal on to the worker, if it serves; before that it may have no handler."""
        if self.serves.is_set() and self._process is not None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Kill the worker."""
        if self._process is not None:
            self._process.kill()

    async def _run_worker(self) -> tuple[str | None, int]:
        """Run one worker from start to end; gives the failure that it reported and its exit code."""
        ours, theirs = socket.socketpair()
        process = multiprocessing.get_context("spawn").Process(
            target=worker.run,
            args=(self._config, self.number, self._port, theirs),
            name=f"inkstream-worker-{self.number}",
            daemon=True,
        )
        with signals.held_back():
            process.start()
        theirs.close()
        self._process = process
        reader, self._lines = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        try:
            failure = await self._listen(reader, process)
        finally:
            self.serves.clear()
            self._lines.close()
            self._lines = None
            while self._awaited:
                self._answer()
        await asyncio.to_thread(process.join, EXIT_SECONDS)
        if process.exitcode is None:
            process.kill()
            await asyncio.to_thread(process.join)
        self._process = None
        self._sums.died(self.number)
        assert process.exitcode is not None
        return failure, process.exitcode

    async def _listen(self, lines: asyncio.StreamReader, process: SpawnProcess) -> str | None:
        failure = None
        try:
            async for line in lines:
                if not line.endswith(b"\n"):
                    break  # The worker died while it wrote.
                message: dict[str, Any] = json.loads(line)
                if "report" in message:
                    self._sums.reported(self.number, message["report"])
                    if self._awaited:
                        self._answer()
                elif "serving" in message:
                    self.serving = message["serving"]
                    self.serves.set()
                    logs.get().info("worker_serves", worker=self.number, pid=process.pid)
                    if self._announced:
                        self._send("announce")
                else:
                    failure = message["failed"]
        except ConnectionError:
            pass  # The worker died before it had read all.
        return failure

    def _answer(self) -> None:
        answered = self._awaited.popleft()
        if not answered.done():  # A scrape that took too long is cancelled.
            answered.set_result(None)

    def _send(self, word: str) -> None:
        if self._lines is not None:
            self._lines.write(word.encode() + b"\n")
