from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Protocol

import pytest
from inkstream import AsyncClient, Client, Model, Result

from tests.unit.client.fake_server import FakeServer


class Twin(Protocol):
    """Both clients behind one interface, so that each test covers both."""

    async def recognize(self, images: Any, **options: Any) -> Any: ...
    async def collect(self, images: Iterable[Any], **options: Any) -> list[Any]: ...
    async def submit(self, image: Any) -> asyncio.Future[Result]: ...
    async def model(self) -> Model: ...
    async def close(self, grace: float = 5.0) -> None: ...


class SyncTwin:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def recognize(self, images: Any, **options: Any) -> Any:
        return await asyncio.to_thread(lambda: self.client.recognize(images, **options))

    async def collect(self, images: Iterable[Any], **options: Any) -> list[Any]:
        return await asyncio.to_thread(lambda: list(self.client.stream(images, **options)))

    async def submit(self, image: Any) -> asyncio.Future[Result]:
        return asyncio.wrap_future(await asyncio.to_thread(self.client.submit, image))

    async def model(self) -> Model:
        return await asyncio.to_thread(self.client.model)

    async def close(self, grace: float = 5.0) -> None:
        await asyncio.to_thread(self.client.close, grace)


class AsyncTwin:
    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def recognize(self, images: Any, **options: Any) -> Any:
        return await self.client.recognize(images, **options)

    async def collect(self, images: Iterable[Any], **options: Any) -> list[Any]:
        return [result async for result in self.client.stream(images, **options)]

    async def submit(self, image: Any) -> asyncio.Future[Result]:
        return await self.client.submit(image)

    async def model(self) -> Model:
        return await self.client.model()

    async def close(self, grace: float = 5.0) -> None:
        await self.client.close(grace)


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture(params=["Client", "AsyncClient"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Twin]]:
    """Makes a client of either kind; closes it at the end."""
    twins: list[Twin] = []

    def make(address: str, **options: Any) -> Twin:
        twin: Twin
        if request.param == "Client":
            twin = SyncTwin(Client(address, **options))
        else:
            twin = AsyncTwin(AsyncClient(address, **options))
        twins.append(twin)
        return twin

    yield make
    for twin in twins:
        await twin.close(0.0)


@pytest.fixture
def twin(fake: FakeServer, connect: Callable[..., Twin]) -> Twin:
    return connect(fake.address)
