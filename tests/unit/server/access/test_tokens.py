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


def test_a_line_may_limit_events_and_points() -> None:
    quota = Quota(items_per_second=2, events_per_second=30, points_per_second=400)
    _, line = make("a", quota)
    assert line.endswith(" items_per_second=2 events_per_second=30 points_per_second=400")
    (grant,) = read([line]).values()
    assert grant.quota == quota


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


async def look(tokens: TokenFile, times: int = 2) -> None:
    for _ in range(times):
        await tokens.look()


async def test_a_change_is_taken_when_two_looks_in_a_row_find_it(file: Path) -> None:
    first, first_line = make("a", Quota())
    replace(file, first_line)
    tokens = TokenFile(file)
    second, second_line = make("b", Quota())
    replace(file, first_line, second_line)
    await look(tokens, 1)
    assert tokens.caller(second) is None
    await look(tokens, 1)
    assert tokens.caller(second) is not None
    assert tokens.caller(first) is not None


async def test_a_caller_that_stays_keeps_its_usage_and_gets_the_new_limits(file: Path) -> None:
    token, line = make("a", Quota(streams=2))
    replace(file, line)
    tokens = TokenFile(file)
    caller = tokens.caller(token)
    assert caller is not None
    caller.allowance.open_stream()
    replace(file, line.replace("streams=2", "streams=1 items_per_second=5"))
    await look(tokens)
    assert tokens.caller(token) is caller
    assert caller.allowance.quota == Quota(1, 5)
    assert not caller.allowance.open_stream()


def note_revoked(tokens: TokenFile, *given: str) -> list[str]:
    """Give a list that fills with the names of tokens that are revoked."""
    noted: list[str] = []
    for token in given:
        caller = tokens.caller(token)
        assert caller is not None
        caller.on_revoked("stream", lambda name=caller.grant.name: noted.append(name))  # type: ignore[misc]  # mypy does not support defaults of lambdas
    return noted


@pytest.mark.parametrize("change", ["removed", "renewed"])
async def test_a_token_that_is_gone_or_replaced_is_revoked_once(file: Path, change: str) -> None:
    token, line = make("a", Quota())
    staying, staying_line = make("b", Quota())
    replace(file, line, staying_line)
    tokens = TokenFile(file)
    revoked = note_revoked(tokens, token, staying)
    replace(file, staying_line, *([make("a", Quota())[1]] if change == "renewed" else []))
    await look(tokens, 1)
    assert not revoked
    await look(tokens, 3)
    assert revoked == ["a"]
    assert tokens.caller(token) is None


async def test_a_stream_that_ended_before_is_not_called(file: Path) -> None:
    (token, line), (_, other) = make("a", Quota()), make("b", Quota())
    replace(file, line)
    tokens = TokenFile(file)
    revoked = note_revoked(tokens, token)
    caller = tokens.caller(token)
    assert caller is not None
    caller.on_revoked("stream", None)
    replace(file, other)
    await look(tokens)
    assert tokens.caller(token) is None
    assert not revoked


def write(file: Path, text: str) -> None:
    """Write a file in place, as a redirect does."""
    file.write_text(text)


def rename(file: Path, to: Path) -> None:
    file.rename(to)


def remove(file: Path) -> None:
    if file.is_dir():
        file.rmdir()
    else:
        file.unlink(missing_ok=True)


def spoil(file: Path, harm: str) -> None:
    """Replace a file by something that cannot be used."""
    content = file.read_bytes()
    file.unlink()
    if harm == "pipe":
        os.mkfifo(file)
    elif harm == "folder":
        file.mkdir()
    elif harm == "huge":
        file.touch()
        os.truncate(file, 10**12)
    elif harm == "spoiled":
        file.write_bytes(content + b"\nb sha256:123")
    elif harm == "only comments":
        file.write_bytes(b"# " + content)
    elif harm != "gone":
        file.write_bytes({"empty": b"", "no text": b"\xff\xfe"}[harm])


@pytest.mark.parametrize(
    "harm", ["spoiled", "gone", "no text", "empty", "only comments", "pipe", "folder", "huge"]
)
async def test_a_file_that_cannot_be_used_is_logged_once_and_changes_nothing(
    file: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("text", "info")
    token, line = make("a", Quota())
    other, other_line = make("b", Quota())
    replace(file, line)
    tokens = TokenFile(file)
    await look(tokens)
    assert tokens.is_settled
    spoil(file, harm)
    await look(tokens, 1)
    assert (tokens.is_settled, tokens.is_refused) == (False, False), "it may be half written"
    await look(tokens, 6)
    assert (tokens.is_settled, tokens.is_refused) == (False, True)
    assert tokens.caller(token) is not None
    (line_logged,) = capsys.readouterr().err.splitlines()
    assert 'event="tokens kept"' in line_logged
    assert str(file) in line_logged
    assert line.split()[1] not in line_logged
    remove(file)
    replace(file, other_line)
    await look(tokens)
    assert (tokens.caller(token), tokens.is_refused) == (None, False)
    assert tokens.caller(other) is not None


async def test_a_file_is_settled_once_a_look_finds_what_was_read_at_the_start(file: Path) -> None:
    replace(file, make("a", Quota())[1])
    tokens = TokenFile(file)
    # It may have been half written.
    assert not tokens.is_settled
    await look(tokens)
    assert tokens.is_settled
    replace(file, make("b", Quota())[1])
    await look(tokens, 1)
    assert not tokens.is_settled
    await look(tokens, 1)
    assert tokens.is_settled


async def test_a_file_that_was_touched_or_put_back_is_not_reported(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("text", "info")
    token, line = make("a", Quota())
    replace(file, line)
    tokens = TokenFile(file)
    await look(tokens)
    write(file, line)
    await look(tokens)
    aside = file.with_name("aside")
    rename(file, aside)
    await look(tokens, 1)
    rename(aside, file)
    await look(tokens)
    assert tokens.is_settled
    assert tokens.caller(token) is not None
    assert capsys.readouterr().err == ""


@given(st.data())
async def test_no_cut_that_ends_before_the_next_look_revokes_a_token(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Editors, redirects and copies write a file in pieces; each look may see any of them."""
    file = tmp_path_factory.getbasetemp() / "cut"
    made = [make(f"t{number}", Quota(streams=40)) for number in range(4)]
    whole = "".join(f"{line}\n" for _, line in made)
    replace(file, whole)
    tokens = TokenFile(file)
    revoked = note_revoked(tokens, *[token for token, _ in made])
    for _ in range(data.draw(st.integers(1, 4))):
        write(file, whole[: data.draw(st.integers(0, len(whole)))])
        await look(tokens, 1)
        write(file, whole)
        await look(tokens, data.draw(st.integers(1, 3)))
    assert not revoked
    assert not tokens.is_refused
    for token, _ in made:
        caller = tokens.caller(token)
        assert caller is not None
        assert caller.allowance.quota == Quota(streams=40)


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(file: Path) -> None:
    with pytest.raises(TokenError, match=r"tokens: cannot read .*No such file"):
        TokenFile(file)
    file.write_text("x")
    with pytest.raises(TokenError, match=r"tokens: .*tokens: line 1"):
        TokenFile(file)
    file.write_text("# nobody yet")
    with pytest.raises(TokenError, match=r"tokens: .*holds no token: add a line that"):
        TokenFile(file)


def test_a_file_that_is_too_large_is_not_read(file: Path) -> None:
    file.touch()
    os.truncate(file, 10**12)
    with pytest.raises(TokenError, match="it is larger than"):
        TokenFile(file)
