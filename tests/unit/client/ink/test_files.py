import contextlib
import dataclasses
import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inkstream.ink import Ink, InvalidInk, Limits, Stroke, read, read_from, write

from tests.unit.client.ink import inks

SUFFIXES = (".jsonl", ".unipen", ".inkml")


def written(written_inks: list[Ink], name: str, folder: Path) -> bytes:
    path = folder / name
    assert write(path, written_inks) == len(written_inks)
    return path.read_bytes()


def read_back(content: bytes, limits: Limits | None = None) -> list[Ink]:
    return list(read_from(io.BytesIO(content), "file", limits=limits))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ink")


@given(st.lists(inks.any_ink(), max_size=4))
@settings(max_examples=60, deadline=None)
def test_json_lines_keep_everything_of_any_ink(folder: Path, any_inks: list[Ink]) -> None:
    assert read_back(written(any_inks, "a.jsonl", folder)) == any_inks


@given(st.lists(inks.any_ink(), max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_inkml_keeps_everything_of_any_ink(folder: Path, any_inks: list[Ink], packed: bool) -> None:
    name = "a.inkml.gz" if packed else "a.inkml"
    assert read_back(written(any_inks, name, folder)) == any_inks


@given(st.lists(inks.any_ink(columns_alike=True, least_strokes=1), max_size=4))
@settings(max_examples=60, deadline=None)
def test_unipen_keeps_any_ink_upright_without_units(folder: Path, any_inks: list[Ink]) -> None:
    expected = [dataclasses.replace(ink.with_y("up"), units="count") for ink in any_inks]
    back = read_back(written(any_inks, "a.unipen", folder))
    # Only the comment of pendigits holds an index.
    expected = [
        dataclasses.replace(ink, index=found.index)
        for ink, found in zip(expected, back, strict=True)
    ]
    assert back == expected


def test_unipen_keeps_the_index_like_pendigits(folder: Path) -> None:
    content = written([inks.seven(), inks.seven(writer=None)], "a.tra", folder)
    assert b".COMMENT 7 12 3\n" in content
    assert [ink.index for ink in read_back(content)] == [3, None]


def test_other_keys_of_a_json_row_are_kept(folder: Path) -> None:
    ink = inks.seven(extra={"q": "GOOD", "hand": None, "parts": [1, 2]})
    assert read_back(written([ink], "a.jsonl", folder)) == [ink]


@pytest.mark.parametrize("suffix", [*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES)])
def test_the_same_ink_makes_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first = written([inks.seven()], f"a{suffix}", tmp_path)
    assert first == written([inks.seven()], f"b{suffix}", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_the_format_of_a_file_is_found_by_its_content(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        written([inks.seven(y="up")], f"a{suffix}.gz", tmp_path).startswith(b"\x1f\x8b")
        (tmp_path / f"a{suffix}.gz").rename(tmp_path / "disguised")
        assert list(read(tmp_path / "disguised")) == [inks.seven(y="up")]


def test_a_byte_order_mark_and_blank_lines_are_ignored() -> None:
    content = b'\xef\xbb\xbf\n{"y":"up","strokes":[]}\n\n{"y":"down","strokes":[]}'
    assert [ink.y for ink in read_back(content)] == ["up", "down"]


def test_an_empty_file_holds_no_ink() -> None:
    assert read_back(b"") == []
    assert read_back(gzip.compress(b"")) == []


@pytest.mark.parametrize(
    "blank", [b"\n" * 5, b"\n" * 100_000 + b"  ", b"\xef\xbb\xbf \r\n" + b"\n" * 4]
)
@pytest.mark.parametrize("packed", [True, False])
def test_white_space_before_the_first_ink_is_skipped_and_counts_as_lines(
    blank: bytes, packed: bool
) -> None:
    line = blank.count(b"\n") + 1
    for good, bad in (
        (b'{"y":"up","strokes":[]}', b'{"y":"up"}'),
        (b".PEN_DOWN\n1 1\n.PEN_UP", b".PEN_DOWN"),
        (b"<ink><trace>1 1</trace></ink>", b"<ink><trace>1</trace></ink>"),
        (b"<?xml version='1.0'?><ink><trace>1 1</trace></ink>", b"<ink></trace></ink>"),
    ):
        assert len(read_back(gzip.compress(blank + good) if packed else blank + good)) == 1
        with pytest.raises(InvalidInk, match=f"^file:{line}: ") as caught:
            read_back(gzip.compress(blank + bad) if packed else blank + bad)
        assert "white space" not in caught.value.reason


class _Drip(io.BytesIO):
    """A pipe that returns one byte at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(1, size or 0))


def test_the_format_of_ink_that_arrives_byte_by_byte_is_found() -> None:
    assert len(list(read_from(_Drip(b'\n\n{"y":"up","strokes":[]}')))) == 1


@pytest.mark.parametrize("opening", [b'{"y":"up","strokes":[]}\n', b".PEN_DOWN\n"])
@pytest.mark.parametrize("blank", [b"\n", b"  \r\n"])
def test_no_more_blank_lines_are_read_than_the_limits_allow(opening: bytes, blank: bytes) -> None:
    limits = Limits(blank_lines=3)
    closing = opening.replace(b"DOWN", b"UP")
    assert read_back(opening + 3 * blank + closing, limits)
    with pytest.raises(InvalidInk, match=r"^file:5: more than 3 blank lines"):
        read_back(opening + 4 * blank + closing, limits)


@pytest.mark.parametrize("content", [b"hello", b"   ", b"\x00\x01", b"\x89PNG"])
def test_a_file_that_is_no_ink_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInk, match=r"^file:1: expected UNIPEN"):
        read_back(content)


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("name", ["a.txt", "a.gz", "a"])
def test_a_name_without_a_known_format_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidInk, match=r"\.jsonl, \.unipen"):
        write(tmp_path / name, [inks.seven()])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suffix", "ink"),
    [
        (".jsonl", inks.seven(label="\ud800")),
        (".jsonl", inks.seven(extra={"odd": {1, 2}})),
        (".inkml", inks.seven(label="\x00")),
        (".unipen", inks.seven(label='"')),
        (".unipen", Ink(())),
        (".unipen", Ink((Stroke.of([(1, 2)]), Stroke.of([(1, 2, 3)])))),
    ],
)
def test_ink_that_a_format_cannot_express_leaves_the_file_unchanged(
    tmp_path: Path, suffix: str, ink: Ink
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("before")
    with pytest.raises(InvalidInk, match="a" + suffix):
        write(path, [inks.seven(), ink])
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_converting_names_the_file_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}")
    with pytest.raises(InvalidInk, match=r"in\.jsonl:1: strokes: missing"):
        write(tmp_path / "out.jsonl", read(tmp_path / "in.jsonl"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(points=4), "points"),
        (Limits(strokes=1), "strokes|at most 1"),
        (Limits(file_bytes=60), "longer than 60 bytes"),
    ],
)
def test_nothing_is_read_beyond_the_limits(
    tmp_path: Path, suffix: str, limits: Limits, reason: str
) -> None:
    content = written([inks.seven()], f"a{suffix}", tmp_path)
    with pytest.raises(InvalidInk, match=reason):
        read_back(content, limits)
    assert len(read_back(content, Limits(points=5, strokes=2, file_bytes=len(content)))) == 1


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b'{"y":"up","strokes":[' + b" " * (64 << 20), id="jsonl"),
        pytest.param(b".COMMENT " + b"x" * (64 << 20), id="unipen"),
        pytest.param(b"<ink><trace>" + b"1 " * (32 << 20), id="inkml text"),
        pytest.param(b'<ink a="' + b"1" * (64 << 20), id="inkml tag"),
    ],
)
def test_an_endless_line_is_read_only_up_to_the_limits(bomb: bytes) -> None:
    packed = gzip.compress(bomb, 1)
    tracemalloc.start()
    with pytest.raises(InvalidInk, match="longer than 100000 bytes"):
        read_back(packed, Limits(line_bytes=100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_an_endless_file_is_refused_at_the_limit() -> None:
    packed = gzip.compress(b'{"y":"up","strokes":[]}\n' * 100_000, 1)
    found = read_from(io.BytesIO(packed), "bomb", limits=Limits(file_bytes=24_000))
    with pytest.raises(InvalidInk, match="bomb:1001: the file is longer than 24000 bytes"):
        for count, _ in enumerate(found, 1):
            assert count <= 1000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_packed_file_yields_its_ink_and_is_then_refused(
    tmp_path: Path, suffix: str
) -> None:
    content = gzip.compress(written([inks.seven()] * 500, f"a{suffix}", tmp_path), 1)
    with pytest.raises(InvalidInk):
        read_back(content[: len(content) // 2])
    with pytest.raises(InvalidInk, match=r"^file:\d+: cannot be unpacked"):
        read_back(content[:-12])


def test_a_packed_file_that_cannot_be_unpacked_is_refused_at_line_one() -> None:
    with pytest.raises(InvalidInk, match=r"^file:1: cannot be unpacked"):
        read_back(gzip.compress(b"{}")[:12])


@given(
    st.sampled_from(SUFFIXES),
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.sampled_from(["cut", "flip", "insert"]),
            st.binary(max_size=6),
        )
    ),
    st.booleans(),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    folder: Path, suffix: str, damages: list[tuple[int, str, bytes]], packed: bool
) -> None:
    timed = Stroke((1.5, 2), (3, 4), (0, 10), (0.5, 1))  # type: ignore[arg-type]
    content = written([inks.seven(per_mm=(10.0, 12.0)), Ink((timed,))], f"damaged{suffix}", folder)
    content = gzip.compress(content, mtime=0) if packed else content
    for place, damage, piece in damages:
        at = place % (len(content) + 1)
        rest = {"cut": b"", "flip": content[at + len(piece) :], "insert": content[at:]}[damage]
        content = content[:at] + piece + rest
    try:
        for ink in read_back(content):
            assert isinstance(ink, Ink)
    except InvalidInk as error:
        assert error.source == "file"


@given(
    st.sampled_from([b"", b"{", b"<ink>", b"<", b".SEGMENT ", b".PEN_DOWN\n", b"\x1f\x8b\x08"]),
    st.binary(),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(opening: bytes, content: bytes) -> None:
    with contextlib.suppress(InvalidInk):
        read_back(opening + content)
