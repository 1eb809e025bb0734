"""The package's types: `make lint` checks the assertions on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any, assert_type, get_args, get_origin, get_overloads, get_type_hints

import numpy as np
import numpy.typing as npt
import pytest
from inkstream import AsyncClient, Client, Result

from docs.generate.api import MODULES
from tests.unit.client.fake_server import FakeServer, frame

SEVERAL = np.stack([frame(1), frame(2)]).reshape(2, 28, 28)


def test_the_type_of_what_recognize_returns_follows_from_the_dimensions(fake: FakeServer) -> None:
    unknown: npt.NDArray[np.uint8] = frame(3)
    with Client(fake.address) as client:
        assert assert_type(client.recognize(frame(3)), Result).digit == 3
        assert assert_type(client.recognize(frame(3).reshape(784)), Result).digit == 3
        several = assert_type(client.recognize(SEVERAL), list[Result])
        assert [result.digit for result in several] == [1, 2]
        listed = assert_type(client.recognize([frame(1), frame(2)]), list[Result])
        assert listed == several
        assert isinstance(assert_type(client.recognize(unknown), Result | list[Result]), Result)


async def test_the_types_of_the_async_client_follow_from_the_dimensions_too(
    fake: FakeServer,
) -> None:
    async with AsyncClient(fake.address) as client:
        assert assert_type(await client.recognize(frame(3)), Result).digit == 3
        several = assert_type(await client.recognize(SEVERAL), list[Result])
        assert [result.digit for result in several] == [1, 2]


def callables() -> Iterator[tuple[str, Callable[..., object]]]:
    """Public functions and the public methods of public classes, overloads and properties included."""
    for module in map(import_module, MODULES):
        names = getattr(module, "__all__", None) or [n for n in vars(module) if n[0] != "_"]
        for name in names:
            public = getattr(module, name)
            if inspect.isfunction(public):
                yield f"{module.__name__}.{name}", public
            elif inspect.isclass(public) and public.__module__.startswith("inkstream"):
                for member in dir(public):
                    method = inspect.getattr_static(public, member)
                    method = getattr(method, "fget", None) or getattr(method, "__func__", method)
                    if inspect.isfunction(method) and member[0] != "_":
                        for way in get_overloads(method) or [method]:
                            yield f"{module.__name__}.{name}.{member}", way


def holds_any(hint: object) -> bool:
    """Whether a type is or contains Any; a numpy array's shape may be unknown."""
    if get_origin(hint) is np.ndarray:
        return any(map(holds_any, get_args(get_args(hint)[1])))
    return hint is Any or any(map(holds_any, get_args(hint)))


@pytest.mark.parametrize(("name", "function"), [*callables()])
def test_no_public_function_returns_any(name: str, function: Callable[..., object]) -> None:
    # Some types of arguments, those of Pillow, exist for type checkers only.
    returned = SimpleNamespace(__annotations__={"return": function.__annotations__["return"]})
    known = vars(import_module(function.__module__))
    assert not holds_any(get_type_hints(returned, known)["return"]), name
