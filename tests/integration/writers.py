"""Clients that send images and write digits continuously, and check that each is answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic

import numpy as np
import numpy.typing as npt
from inkstream import AsyncClient, GlyphResult, InkstreamError

from tests.patience import PATIENCE_SECONDS

SEVEN = [(10, 10), (20, 10), (30, 11), (24, 25), (18, 40)]
"""A seven without a bar, y down."""
IMAGES_AT_ONCE = 8
PAUSE_SECONDS = 0.02


class Writer:
    """One client under load: a stream of images, and a pen beside it."""

    def __init__(
        self, client: AsyncClient, images: npt.NDArray[np.uint8], digits: Sequence[int]
    ) -> None:
        """Use `client` to send `images` in turn, which are known to be `digits`."""
        self.client = client
        self.answered = 0
        """Images answered so far, in order and rightly."""
        self.sent = 0
        self.written: list[tuple[int, ...]] = []
        """Strokes of each digit written, in order."""
        self.seconds: list[float] = []
        """Seconds that each image waited for its answer."""
        self.finals: list[GlyphResult] = []
        self.errors: list[InkstreamError] = []
        self.quiet_ms: int | None = None
        """Of its pen; a test that runs beside much other work chooses one that no delay exceeds."""
        self._left: list[float] = []
        self._images = images
        self._digits = digits
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        """Send and write until `stop`; ends when everything is answered."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            tasks.create_task(self._write())

    def stop(self) -> None:
        """Send nothing new."""
        self._is_over.set()

    async def _pause(self, seconds: float = PAUSE_SECONDS) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._is_over.wait()
        except TimeoutError:
            return

    async def _source(self) -> AsyncIterator[npt.NDArray[np.uint8]]:
        count = len(self._images)
        while not self._is_over.is_set():
            turn = [(self.sent + step) % count for step in range(IMAGES_AT_ONCE)]
            self.sent += IMAGES_AT_ONCE
            self._left += [monotonic()] * IMAGES_AT_ONCE
            yield self._images[turn]
            await self._pause()

    async def _send(self) -> None:
        async for result in self.client.stream(self._source()):
            expected = self._digits[self.answered % len(self._images)]
            assert result.digit == expected, f"image {self.answered} has another's answer"
            self.seconds.append(monotonic() - self._left[self.answered])
            self.answered += 1

    async def _write(self) -> None:
        def keep(answer: GlyphResult | InkstreamError) -> None:
            if isinstance(answer, InkstreamError):
                self.errors.append(answer)
            elif answer.is_final:
                self.finals.append(answer)

        quiet = self.quiet_ms
        async with self.client.pen(
            units="px", quiet_ms=quiet, short_quiet_ms=quiet, on_result=keep
        ) as pen:
            while not self._is_over.is_set():
                strokes = [await self._stroke(pen, SEVEN)]
                if len(self.written) % 3 == 0:  # A bar, now and then.
                    strokes.append(await self._stroke(pen, [(14, 24), (30, 25)]))
                pen.end_glyph()
                self.written.append(tuple(strokes))
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _ in pen:
                raise AssertionError("on_result takes them all")

    async def _stroke(self, pen, points: list[tuple[int, int]]) -> int:  # type: ignore[no-untyped-def]
        number: int = pen.down(*points[0])
        for point in points[1:]:
            await self._pause(0.004)
            pen.move(*point)
        pen.up()
        await self._pause(0.004)
        return number

    def check(self) -> None:
        """Check that no answer is missing and none came twice."""
        assert self.answered == self.sent, f"{self.sent - self.answered} images lost"
        assert not self.errors, self.errors[:3]
        answered = [result.strokes for result in self.finals]
        wrong = [*set(self.written).symmetric_difference(answered)]
        assert answered == self.written, f"digits were lost, repeated, split or joined: {wrong[:6]}"
        assert [result.glyph for result in self.finals] == list(range(1, len(self.written) + 1))


async def under_load(writers: Sequence[Writer], disturb: AsyncIterator[object]) -> None:
    """Let all writers work while `disturb` runs, and check their answers."""
    async with asyncio.TaskGroup() as tasks:
        for writer in writers:
            tasks.create_task(writer.run())
        try:
            async for _ in disturb:
                await progress(writers)
        finally:
            for writer in writers:
                writer.stop()
    for writer in writers:
        writer.check()


async def progress(writers: Sequence[Writer]) -> None:
    """Wait until each writer has new answers to images and to ink."""
    before = [(writer.answered, len(writer.finals)) for writer in writers]
    give_up = monotonic() + PATIENCE_SECONDS
    while any(
        writer.answered <= answered or len(writer.finals) <= finals
        for writer, (answered, finals) in zip(writers, before, strict=True)
    ):
        assert monotonic() < give_up, "a writer gets no answers any more"
        await asyncio.sleep(0.01)
