"""A client that sends until it is killed: `python -m tests.integration.flood ADDRESS`.

Prints one line once answers flow, and then reads no further, so that answers wait for it as well.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from tests.integration.contract import open_stream, stub

FRAMES = 500


async def flood(address: str) -> None:
    async with stub(address) as service:
        stream = await open_stream(service)
        for message in count():
            first = message * FRAMES
            await stream.send(sequences=range(first, first + FRAMES), uint8=bytes(784 * FRAMES))
            if message < 4:
                await stream.receive()
            elif message == 4:
                sys.stdout.write("flowing\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(flood(sys.argv[1]))
