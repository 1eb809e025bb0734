from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.errors import CUT, escaped
from inkstream_server.logs.lines import MOST_LINE, TRACEBACK, renderer

TEXTS = st.text(st.characters()) | st.text('\x1b\r\n\u202e"\\= a', max_size=60)
VALUES = TEXTS | st.integers() | st.floats() | st.booleans() | st.none() | st.binary()


def parse_text(line: str) -> dict[str, str | bool]:
    """Read logfmt: `key`, `key=word` and `key="words"`; in words a backslash escapes quotes and itself."""
    found: dict[str, str | bool] = {}
    at = 0
    while at < len(line):
        match = re.compile(r'([a-z_]+)(?:="((?:[^"\\]|\\.)*)"|=([^ "]*))?(?: |$)').match(line, at)
        assert match, line[at:]
        key, quoted, word = match.groups()
        if quoted is not None:
            word = re.sub(r"\\(.)", lambda it: "\n" if it[1] == "n" else it[1], quoted)
        found[key] = True if word is None else word
        at = match.end()
    return found


@given(st.dictionaries(st.sampled_from(["a", "b_c", TRACEBACK]), VALUES), st.sampled_from([1, 300]))
def test_any_values_make_one_json_object_a_line(values: dict[str, object], times: int) -> None:
    line = renderer("json")({"event": "e", **{k: repeated(v, times) for k, v in values.items()}})
    assert line.isprintable()
    assert len(line.encode()) < MOST_LINE
    read = json.loads(line, parse_constant=pytest.fail)
    assert read.keys() == {"event", *values}
    for key, value in values.items():
        if isinstance(value, str) and times == 1:
            assert read[key].replace("\n", r"\n") == escaped(value)


@given(st.dictionaries(st.sampled_from(["a", "b_c", TRACEBACK]), VALUES), st.sampled_from([1, 300]))
def test_any_values_make_one_line_of_logfmt(values: dict[str, object], times: int) -> None:
    line = renderer("text")({"event": "e", **{k: repeated(v, times) for k, v in values.items()}})
    assert line.isprintable()
    assert len(line.encode()) < MOST_LINE
    read = parse_text(line)
    assert read.keys() == {"timestamp", "level", "event", *values}
    for key, value in values.items():
        if isinstance(value, str) and times == 1:
            assert str(read[key]).replace("\n", r"\n") == escaped(value)


def repeated(value: object, times: int) -> object:
    return value * times if isinstance(value, str) else value


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_long_value_is_cut_and_the_others_stay(log_format: str) -> None:
    line = renderer(log_format)({"event": "e", "long": "ab" * 100_000, "short": "whole"})
    assert 2000 < len(line) < MOST_LINE
    assert "whole" in line
    assert (CUT if log_format == "text" else json.dumps(CUT)[1:-1]) in line


def test_a_long_traceback_keeps_its_end() -> None:
    places = "\n".join(f"  File {number}" for number in range(10_000))
    line = renderer("json")({"event": "e", TRACEBACK: f"{places}\nRuntimeError: broken"})
    shown = json.loads(line)[TRACEBACK]
    assert shown.startswith(CUT)
    assert shown.endswith("  File 9999\nRuntimeError: broken")


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("text", ["\x1b[31m", "\r\n", "\u202e\u2066", "\u2028", "\x9b", "\ud800"])
def test_what_a_terminal_would_obey_is_escaped_as_text(log_format: str, text: str) -> None:
    line = renderer(log_format)({"event": "e", "value": f"a {text}"})
    value = json.loads(line)["value"] if log_format == "json" else parse_text(line)["value"]
    assert value == f"a {escaped(text)}"
    assert "\\" in str(value)
