"""Holds images that a server refused for now, until it is time to send them again; see `item_retries`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import count

from inkstream._images.exchange import Refusal
from inkstream._images.outbox import Outbox, Parcel
from inkstream._options.retry import RetryPolicy


class RefusedImages:
    """Puts each refused image back into the outbox after its retry-after."""

    def __init__(self, outbox: Outbox, policy: RetryPolicy, wake: Callable[[], None]) -> None:
        self._outbox = outbox
        self._policy = policy
        self._wake = wake
        self._numbers = count()
        self._held: dict[int, tuple[asyncio.TimerHandle, list[Parcel]]] = {}

    def __len__(self) -> int:
        """The number of groups of images that are held."""
        return len(self._held)

    def hold(self, refusals: list[Refusal]) -> None:
        """Hold refused images; fail those whose deadline passes before their retry-after."""
        now = time.monotonic()
        # Never before the retry-after, and not all clients at once.
        chance = random.random()  # noqa: S311 - spreads load, guards nothing
        by_delay: dict[float, list[Parcel]] = {}
        for refusal in refusals:
            parcel, error = refusal.parcel, refusal.error
            delay = error.retry_after or self._policy.first_delay
            delay *= 1.0 + self._policy.jitter * chance
            if parcel.expires is not None and parcel.expires <= now + delay:
                parcel.waiter.fail(parcel.position, parcel.count, error)
            else:
                by_delay.setdefault(delay, []).append(parcel)
        for delay, parcels in by_delay.items():
            number = next(self._numbers)
            alarm = asyncio.get_running_loop().call_later(delay, self._release, number)
            self._held[number] = (alarm, parcels)
            self._outbox.hold(parcels)

    def release_all(self) -> None:
        """Put all images back now."""
        for alarm, parcels in self._held.values():
            alarm.cancel()
            self._outbox.put_back(parcels, were_held=True)
        self._held.clear()

    def _release(self, number: int) -> None:
        _, parcels = self._held.pop(number)
        self._outbox.put_back(parcels, were_held=True)
        self._wake()
