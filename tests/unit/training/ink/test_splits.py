import pytest
from inkstream_training.ink.collection import splits_of
from inkstream_training.ink.sources import load, locate
from inkstream_training.ink.splits import RULES, part_of


def test_six_of_thirty_numbered_writers_are_held_out() -> None:
    for source, prefix in (("pendigits", ""), ("uji", "W")):
        held = [n for n in range(1, 31) if part_of(source, f"{prefix}{n:02}") == "test"]
        chosen_by = [n for n in range(1, 31) if part_of(source, f"{prefix}{n}") == "validation"]
        assert held == [5, 10, 15, 20, 25, 30]
        assert chosen_by == [3, 13, 23]


@pytest.mark.parametrize(
    ("writer", "part"),
    # The first digits of `printf %s aga/amywldrp | sha256sum`, as a fraction of 1.
    [
        ("tos/1057", "test"),  # 03833b99: 0.014
        ("ced/AIKE2911", "test"),  # 2c8273d9: 0.174
        ("ibm/r00-11", "validation"),  # 47470fab: 0.278
        ("aga/amywldrp", "test"),  # 09a44940: 0.038
        ("syn/cam", "training"),  # b14c9198: 0.693
    ],
)
def test_the_name_of_a_unipen_writer_decides_its_set(writer: str, part: str) -> None:
    assert part_of("unipen", writer) == part


def test_about_a_fifth_of_unipen_s_writers_are_held_out() -> None:
    parts = [part_of("unipen", f"site/{n}") for n in range(2000)]
    assert parts.count("test") / 2000 == pytest.approx(0.20, abs=0.03)
    assert parts.count("validation") / 2000 == pytest.approx(0.13, abs=0.03)


@pytest.mark.parametrize(
    ("source", "writer", "says"),
    [("emnist", "1", "source: expected one of pendigits"), ("uji", "Ann", "writer's number")],
)
def test_a_writer_that_no_rule_covers_is_refused(source: str, writer: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        part_of(source, writer)


def test_no_real_writer_is_in_two_sets() -> None:
    if locate() is None:
        pytest.skip("pen ink is not here: set INKSTREAM_DATA to the folder that holds pendigits/")
    glyphs = [glyph for of_file in load().values() for glyph in of_file]
    sides: dict[tuple[str, str], set[str]] = {}
    for glyph in glyphs:
        sides.setdefault((glyph.source, glyph.writer), set()).add(glyph.part)
    assert all(len(parts) == 1 for parts in sides.values())
    splits = splits_of(glyphs)
    assert set(splits) == set(RULES)
    assert splits["pendigits"].test == ["5", "10", "15", "20", "25", "30"]
    assert splits["uji"].test == ["W05", "W10", "W15", "W20", "W25", "W30"]
    single = [g for g in glyphs if g.source == "unipen" and not g.in_string]
    digit_writers = {g.writer for g in single if g.label.isdecimal()}
    held = digit_writers & set(splits["unipen"].test)
    assert len(held) / len(digit_writers) == pytest.approx(0.2, abs=0.005)
