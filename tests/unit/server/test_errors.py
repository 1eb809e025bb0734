from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st
from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.errors import CUT, MOST_SHOWN, shown

from tests.rooms import ROOT

SOURCES = ROOT / "server" / "inkstream_server"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits/1", "digits/1"),
        ("Ziffern für Ζωή 数字", "Ziffern für Ζωή 数字"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x1b[31mred\x9b", r"\x1b[31mred\x9b"),
        ("\u202eright to left\u2066", r"\u202eright to left\u2066"),
        ("\u2028\u00a0\ufeff\ud800", r"\u2028\xa0\ufeff\ud800"),
    ],
)
def test_a_text_is_shown_without_what_a_terminal_or_a_log_would_obey(
    text: str, expected: str
) -> None:
    assert shown(text) == expected


@given(st.text(st.characters()) | st.text("\u202e\0", min_size=MOST_SHOWN))
def test_what_is_shown_is_printable_bounded_and_fits_a_header(text: str) -> None:
    result = shown(text * 3)
    assert len(result) <= MOST_SHOWN
    assert result.isprintable()
    assert 3 * len(result.encode()) <= 8192 // 3


def test_a_long_text_is_marked_where_it_is_cut() -> None:
    assert shown("a" * MOST_SHOWN) == "a" * MOST_SHOWN
    assert shown("a" * 4_000_000) == "a" * (MOST_SHOWN - 1) + CUT


def test_anything_else_is_abridged() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(shown(deep)) <= MOST_SHOWN
    assert shown({"score": None}) == "{'score': None}"


def texts_of_requests() -> set[str]:
    """Names of all text fields that a request may carry, from the contract and the health service."""
    found: set[str] = set()
    seen: set[str] = set()

    def look(message: Any) -> None:
        if message.full_name in seen:
            return
        seen.add(message.full_name)
        for field in message.fields:
            if field.type == FieldDescriptor.TYPE_STRING:
                found.add(field.name)
            if field.message_type is not None:
                look(field.message_type)

    for request in (
        pb.StreamRecognizeRequest,
        pb.RecognizeRequest,
        pb.GetModelRequest,
        health_pb2.HealthCheckRequest,
    ):
        look(request.DESCRIPTOR)
    return found


def other_ways(source: str) -> Iterator[str]:
    """Find expressions that put a text from outside into another without `shown`.

    These are `repr`, `!r`, `%r`, and text fields of requests, in an f-string or as an argument of a logger.
    """
    texts = texts_of_requests()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FormattedValue):
            is_text = isinstance(node.value, ast.Attribute) and node.value.attr in texts
            is_request = "model" not in ast.unparse(node.value).removesuffix(".model")
            if node.conversion in (ord("r"), ord("a")) or (is_text and is_request):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            is_text = any(isinstance(it, ast.Attribute) and it.attr in texts for it in given)
            if called in ("repr", "ascii") or (called.startswith("logs.get()") and is_text):
                yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "%r" in node.value:
            yield ast.unparse(node)


def test_the_contract_has_texts_from_outside() -> None:
    assert texts_of_requests() == {"model", "client_label", "service"}


def test_texts_from_outside_are_shown_in_one_way_only() -> None:
    found = {
        str(path.relative_to(SOURCES)): ways
        for path in SOURCES.rglob("*.py")
        if (ways := [*other_ways(path.read_text())])
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        'f"got {wanted!r}"',
        'f"got {config.client_label}"',
        'logs.get().info("opened", client=config.client_label)',
        'logs.get().info("failed", error=repr(error))',
        '"got %r" % wanted',
    ],
)
def test_another_way_is_found(source: str) -> None:
    assert [*other_ways(source)]


def test_every_source_is_looked_at() -> None:
    assert len([*Path(SOURCES).rglob("*.py")]) > 50
