from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server import logs
from inkstream_server.access.allowance import Quota
from inkstream_server.access.tokens import TokenError, TokenFile, make, read

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def replace(file: Path, *lines: str) -> None:
    """Write a file and rename it into place."""
    unfinished = file.with_suffix(".new")
    unfinished.write_text("\n".join(lines))
    unfinished.replace(file)


def test_the_line_has_the_name_and_limits_but_not_the_token() -> None:
    token, line = make("school-7", Quota(streams=4, items_per_second=200))
    secret = token.partition(".")[2]
    assert len(secret) == 43
    assert secret not in line
    assert line == (
        f"school-7 sha256:{hashlib.sha256(token.encode()).hexdigest()} "
        "streams=4 items_per_second=200"
    )
    (grant,) = read([line]).values()
    assert (grant.name, grant.quota) == ("school-7", Quota(4, 200))


def test_two_tokens_of_one_name_differ() -> None:
    assert make("a", Quota())[0] != make("a", Quota())[0]


@pytest.mark.parametrize("name", ["", "a b", "a.b", "#a", "ä", "a" * 65, "a\n"])
def test_a_name_with_other_characters_is_refused(name: str) -> None:
    with pytest.raises(TokenError, match="name: expected 1 to 64 letters"):
        make(name, Quota())


def test_comments_and_empty_lines_are_skipped() -> None:
    grants = read(["# who may call", "", "  # indented", f"a {DIGEST}  streams=3  "])
    assert [*grants] == ["a"]


@pytest.mark.parametrize(
    ("line", "expected_text"),
    [
        ("a", "line 2: expected NAME sha256:DIGEST"),
        ("a md5:0", "line 2: expected NAME sha256:DIGEST"),
        (f"a {DIGEST}0", "line 2: expected NAME sha256:DIGEST"),
        (f"a {DIGEST} streams=0", "line 2: expected NAME sha256:DIGEST"),
        (f"a {DIGEST} streams=1e3", "line 2: expected NAME sha256:DIGEST"),
        (f"a {DIGEST} pens=1", "line 2: expected NAME sha256:DIGEST"),
        (f"a {DIGEST} streams=1 streams=2", "line 2: a limit of 'a' appears twice"),
        (f"b {DIGEST}", "line 2: the name 'b' appears twice"),
    ],
)
def test_a_wrong_line_is_named_without_its_digest(line: str, expected_text: str) -> None:
    with pytest.raises(TokenError) as refused:
        read([f"b {DIGEST}", line])
    assert str(refused.value).startswith(expected_text)
    assert "0" * 64 not in str(refused.value)


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_is_read_or_refused(lines: list[str]) -> None:
    try:
        read(lines)
    except TokenError:
        return


def test_only_the_whole_token_is_valid(file: Path) -> None:
    token, line = make("a", Quota())
    _, other_line = make("b", Quota())
    replace(file, line, other_line)
    tokens = TokenFile(file)
    caller = tokens.caller(token)
    assert caller is not None
    assert caller.grant.name == "a"
    assert tokens.caller(token) is caller
    for wrong in ("", "a", "a.", token[:-1], token + "x", "c" + token[1:], "b" + token[1:]):
        assert tokens.caller(wrong) is None
    # The file holds the digest, which must not work as a token.
    assert tokens.caller(line.split()[1]) is None


def test_a_changed_file_applies_from_the_next_check(file: Path) -> None:
    first, first_line = make("a", Quota())
    replace(file, first_line)
    tokens = TokenFile(file)
    second, second_line = make("b", Quota())
    replace(file, first_line, second_line)
    assert tokens.caller(second) is None
    tokens.refresh()
    assert tokens.caller(second) is not None
    assert tokens.caller(first) is not None


def test_a_caller_that_stays_keeps_its_usage_and_gets_the_new_limits(file: Path) -> None:
    token, line = make("a", Quota(streams=2))
    replace(file, line)
    tokens = TokenFile(file)
    caller = tokens.caller(token)
    assert caller is not None
    caller.allowance.open_stream()
    replace(file, line.replace("streams=2", "streams=1 items_per_second=5"))
    tokens.refresh()
    assert tokens.caller(token) is caller
    assert caller.allowance.quota == Quota(1, 5)
    assert not caller.allowance.open_stream()


@pytest.mark.parametrize("change", ["removed", "renewed"])
def test_a_token_that_is_gone_or_replaced_is_revoked_once(file: Path, change: str) -> None:
    token, line = make("a", Quota())
    staying, staying_line = make("b", Quota())
    replace(file, line, staying_line)
    tokens = TokenFile(file)
    reported: list[str] = []
    for it in (token, staying):
        caller = tokens.caller(it)
        assert caller is not None
        caller.on_revoked("stream", lambda name=caller.grant.name: reported.append(name))  # type: ignore[misc]  # mypy does not support defaults of lambdas
    replace(file, staying_line, *([make("a", Quota())[1]] if change == "renewed" else []))
    tokens.refresh()
    tokens.refresh()
    assert reported == ["a"]
    assert tokens.caller(token) is None


def test_a_stream_that_ended_before_is_not_called(file: Path) -> None:
    token, line = make("a", Quota())
    replace(file, line)
    tokens = TokenFile(file)
    caller = tokens.caller(token)
    assert caller is not None
    reported: list[int] = []
    caller.on_revoked("stream", lambda: reported.append(1))
    caller.on_revoked("stream", None)
    replace(file)
    tokens.refresh()
    assert not reported


@pytest.mark.parametrize("harm", ["spoiled", "gone", "no text"])
def test_a_file_that_cannot_be_used_is_logged_once_and_changes_nothing(
    file: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("text", "info")
    token, line = make("a", Quota())
    replace(file, line)
    tokens = TokenFile(file)
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(b"\xff\xfe" if harm == "no text" else line.encode() + b"\nb sha256:123")
    tokens.refresh()
    tokens.refresh()
    assert tokens.caller(token) is not None
    (line_logged,) = capsys.readouterr().err.splitlines()
    assert 'event="tokens kept"' in line_logged
    assert str(file) in line_logged
    assert line.split()[1] not in line_logged
    replace(file)
    tokens.refresh()
    assert tokens.caller(token) is None


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(file: Path) -> None:
    with pytest.raises(TokenError, match=r"tokens: cannot read .*No such file"):
        TokenFile(file)
    file.write_text("x")
    with pytest.raises(TokenError, match=r"tokens: .*tokens: line 1"):
        TokenFile(file)


def test_a_file_that_is_too_large_is_not_read(file: Path) -> None:
    file.touch()
    os.truncate(file, 10**12)
    with pytest.raises(TokenError, match="it is larger than"):
        TokenFile(file)
