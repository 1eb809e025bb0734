"""The options of clients and pens in `help`, in `inspect` and in errors about typos."""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Callable
from typing import Any

import pytest
from inkstream import AsyncClient, Client, ConnectionState
from inkstream._options.client import Options
from inkstream._options.pen import PenOptions

takers = [
    (Client, Client.__init__, Options),
    (AsyncClient, AsyncClient.__init__, Options),
    (Client.pen, Client.pen, PenOptions),
    (AsyncClient.pen, AsyncClient.pen, PenOptions),
]


@pytest.mark.parametrize(("shown", "explained", "options"), takers)
def test_help_shows_each_option_with_its_type_its_default_and_its_text(
    shown: Any, explained: Callable[..., object], options: type
) -> None:
    page = pydoc.plain(pydoc.render_doc(shown))
    texts = dict(re.findall(r"(?m)^    (\w+): (.+)", inspect.getdoc(explained) or ""))
    texts = {name: text for name, text in texts.items() if not name[0].isupper()}
    parameters = inspect.signature(options).parameters
    assert [*texts] == [*parameters]
    for name, parameter in parameters.items():
        assert str(parameter) in page, name
        assert f"{name}: {texts[name]}" in page, name


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_unknown_option_is_refused_with_the_nearest(
    kind: type[Client | AsyncClient],
) -> None:
    wrong: dict[str, Any] = {"topk": 3}
    with pytest.raises(TypeError, match=rf"^{kind.__name__}: .* 'topk'; did you mean 'top_k'\?"):
        kind("localhost:1", **wrong)
    wrong = {"zzz": 3}
    with pytest.raises(TypeError, match=r"'zzz'; choose from address, model, top_k, .*"):
        kind("localhost:1", **wrong)
    wrong = {"unit": "mm"}
    with pytest.raises(TypeError, match=r"\.pen: .* 'unit'; did you mean 'units'\?"):
        kind("localhost:1").pen(**wrong)


def test_missing_and_extra_arguments_are_refused_and_the_class_is_named() -> None:
    make: Callable[..., object] = Client
    with pytest.raises(
        TypeError, match=r"^Client: missing 1 required positional argument: 'address'$"
    ):
        make()
    with pytest.raises(TypeError, match=r"^Client: takes 2 positional arguments but 3 were given$"):
        make("localhost:1", "digits")


def test_options_show_no_secrets_and_cannot_be_changed() -> None:
    pairs = [("x-tenant", "school-7")]
    options = Options("localhost:1", metadata=pairs, token="secret", token_without_tls=True)
    pairs.clear()
    sent = (("x-tenant", "school-7"), ("authorization", "Bearer secret"))
    assert options.call_metadata == sent
    assert "secret" not in repr(options)
    assert "school-7" not in repr(options)


def test_a_pen_refuses_a_callback_that_cannot_be_called() -> None:
    wrong: Any = ConnectionState.OPEN
    with Client("localhost:1") as client, pytest.raises(ValueError, match=r"^on_result: expected"):
        client.pen(on_result=wrong)
