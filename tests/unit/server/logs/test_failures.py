from __future__ import annotations

import json

import pytest
from inkstream_server.errors import CUT, StartError
from inkstream_server.logs.failures import MOST_FRAMES, summary, trace

SECRET = "school-7.SECRET"


def caught(act: object, *args: object) -> Exception:
    """Call something that fails, and give its exception."""
    try:
        act(*args)  # type: ignore[operator]  # Any callable.
    except Exception as error:  # noqa: BLE001 (any)
        return error
    pytest.fail("no exception")


@pytest.mark.parametrize(
    ("act", "args"),
    [
        (str, (f"\xff{SECRET}".encode("latin-1"), "utf-8")),
        (int, (SECRET,)),
        (json.loads, (SECRET,)),
        ({}.__getitem__, (SECRET,)),
        ("aaaa".index, (SECRET,)),
    ],
)
def test_an_exception_about_a_value_shows_its_type_and_place_only(
    act: object, args: tuple[object, ...]
) -> None:
    error = caught(act, *args)
    assert summary(error).endswith(type(error).__qualname__)
    wrapped = caught(raise_from, RuntimeError("broken"), error)
    assert SECRET not in trace(wrapped)
    assert "\nRuntimeError: broken" in trace(wrapped)
    assert "in raise_from" in trace(wrapped)


def raise_from(error: Exception, cause: Exception) -> None:
    raise error from cause


def test_other_exceptions_show_their_text_escaped_and_cut() -> None:
    assert summary(RuntimeError("a\x1b\nb")) == r"RuntimeError: a\x1b\nb"
    assert summary(StartError("port: taken")) == "inkstream_server.errors.StartError: port: taken"
    assert summary(RuntimeError("x" * 1000)).endswith(f"x{CUT}")
    assert summary(OSError()) == "OSError"


def test_an_exception_that_cannot_be_shown_is_named() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise AttributeError

    assert summary(Broken()).endswith("Broken: its text fails with AttributeError")


def test_a_group_shows_its_parts() -> None:
    lines = trace(ExceptionGroup("two", [RuntimeError("one"), TypeError("another")])).split("\n")
    assert lines[1:] == ["Part:", "RuntimeError: one", "Part:", "TypeError: another"]


def test_a_deep_exception_and_a_long_chain_are_bounded() -> None:
    def deep(level: int) -> None:
        if level:
            deep(level - 1)
        raise RuntimeError("deep")

    error: Exception = caught(deep, 100)
    for number in range(100):
        error = caught(raise_from, RuntimeError(str(number)), error)
    shown = trace(error)
    assert shown.count("  File ") <= 3 * MOST_FRAMES
    assert shown.endswith("RuntimeError: 99")


def test_a_circle_of_causes_ends() -> None:
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__cause__ = two, one
    assert trace(one).endswith("RuntimeError: one")
