from __future__ import annotations

import logging
from collections.abc import Iterator
from http import HTTPStatus

import pytest
import structlog
from inkstream_server import logs
from inkstream_server.logs.libraries import OfLibraries
from structlog.typing import EventDict

SECRET = "school-7.SECRET"


@pytest.fixture
def events() -> Iterator[list[EventDict]]:
    logs.configure("json", "info")
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.mark.parametrize(
    ("template", "args", "event"),
    [
        ("Invalid encoding on %s", (SECRET.encode(),), "header_not_utf8"),
        ("Failed on %s", (SECRET.encode(),), "Failed on ..."),
        ("%r and %s", (SECRET, [SECRET]), "'...' and ..."),
        ("%d of %.1f, %s, %s", (3, 2.5, None, True), "3 of 2.5, None, True"),
        ("%(key)s: %(size)d", ({"key": SECRET, "size": 3},), "...: 3"),
        (
            "%s failed with %s",
            (ValueError, ValueError(SECRET)),
            "<class 'ValueError'> failed with ValueError",
        ),
        ("ended by %s", (HTTPStatus.OK,), "ended by 200"),
        ("%d", (SECRET,), "%d"),
        ("100 %", (), "100 %"),
    ],
)
def test_only_the_words_of_a_library_are_shown_and_numbers(
    events: list[EventDict], template: str, args: tuple[object, ...], event: str
) -> None:
    record = logging.LogRecord("grpc._cython.cygrpc", logging.ERROR, "", 1, template, args, None)
    OfLibraries().emit(record)
    (line,) = events
    assert line["event"] == event
    assert SECRET not in str({**line, "exc_info": None})


def test_texts_of_a_library_that_sees_no_callers_are_shown(events: list[EventDict]) -> None:
    logging.getLogger("opentelemetry.exporter.otlp").error("no answer from %s", "host:4317")
    assert events[0]["event"] == "no answer from host:4317"


@pytest.mark.parametrize("name", ["keras", "grpc"])
def test_what_cannot_be_shown_does_not_fail_the_library(events: list[EventDict], name: str) -> None:
    class Broken:
        def __str__(self) -> str:
            raise AttributeError

        def __eq__(self, other: object) -> bool:
            raise AttributeError

        __hash__ = None  # type: ignore[assignment]  # Not hashable.

    for message, args in (("of %s", (Broken(),)), (Broken(), ()), (Broken(), (1,))):
        record = logging.LogRecord(name, logging.ERROR, "", 1, message, args, None)
        OfLibraries().emit(record)
    assert [it["event"] for it in events[1:]] == ["...", "..."]


def test_an_exception_as_a_message_shows_its_type(events: list[EventDict]) -> None:
    logging.getLogger("grpc").error(ValueError(SECRET))
    assert events[0]["event"] == "ValueError"


def test_the_kind_of_a_line_is_its_template_or_its_place() -> None:
    kinds = set()

    class Kinds(OfLibraries):
        def emit(self, record: logging.LogRecord) -> None:
            with structlog.testing.capture_logs() as captured:
                super().emit(record)
            kinds.add(captured[0]["_kind"])

    logger = logging.getLogger("tests.kinds")
    logger.addHandler(handler := Kinds())
    try:
        for number in range(30):
            logger.warning("took %s from %s", number, f"caller {number}")
            logger.warning(f"took {number}")
            for error in (ValueError(str(number)), TypeError(str(number))):
                try:
                    raise error
                except (ValueError, TypeError):
                    logger.exception(f"failed {number}")
    finally:
        logger.removeHandler(handler)
    assert len(kinds) == 4
    assert "tests.kinds: took %s from %s" in kinds
