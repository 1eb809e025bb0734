import gzip
from pathlib import Path

import numpy as np
import pytest
from inkstream.mnist import DatasetUnavailable
from inkstream_training.ink import sources
from inkstream_training.ink.rendering import frame


def test_every_glyph_comes_with_its_writer_and_its_direction(small_ink: Path) -> None:
    files = sources.load(small_ink)
    assert {name: len(glyphs) for name, glyphs in files.items()} == {
        "pendigits/pendigits-orig.tra.gz": 300,
        "unipen/digits.jsonl.gz": 400,
        "unipen/nondigits.jsonl.gz": 180,
        "unipen/digit_strings.jsonl.gz": 40,
        "uji/digits.jsonl.gz": 300,
    }
    assert files["pendigits/pendigits-orig.tra.gz"][10].writer == "2"
    assert files["unipen/digits.jsonl.gz"][0].writer == "site/w0"
    assert files["uji/digits.jsonl.gz"][0].writer == "W01"
    assert [glyphs[0].y_up for glyphs in files.values()] == [True, True, True, True, False]


def test_ink_is_upright_for_both_directions_of_y(small_ink: Path) -> None:
    files = sources.load(small_ink)
    for name in ("pendigits/pendigits-orig.tra.gz", "uji/digits.jsonl.gz"):
        seven = next(glyph for glyph in files[name] if glyph.label == "7")
        drawing = frame(seven.strokes, y_up=seven.y_up).astype(int)
        rows = (drawing > 128).sum(axis=1)
        assert rows.argmax() < 10, "the bar of a 7 is at the top"


def test_files_are_read_from_the_folder_of_the_environment(
    small_ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKSTREAM_DATA", str(small_ink))
    assert sources.locate() == small_ink
    assert len(sources.load()) == 5
    monkeypatch.delenv("INKSTREAM_DATA")
    assert sources.locate() is None
    with pytest.raises(DatasetUnavailable, match="INKSTREAM_DATA is not set"):
        sources.load()


def test_a_folder_that_the_environment_names_wrongly_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INKSTREAM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetUnavailable, match=r"nowhere/.*: No such file"):
        sources.load()


def test_a_missing_file_is_named(small_ink: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable, match=r"pendigits-orig\.tra\.gz: No such file"):
        sources.load(tmp_path)
    assert sources.locate(tmp_path) is None


def test_a_file_with_another_digest_is_refused(small_ink: Path, tmp_path: Path) -> None:
    for file in sources.FILES:
        (tmp_path / file.name).parent.mkdir(exist_ok=True)
        (tmp_path / file.name).write_bytes((small_ink / file.name).read_bytes())
    other = gzip.compress(b'{"label":"1","writer":"a","y":"up","strokes":[[[0,0],[1,1]]]}\n')
    (tmp_path / "uji/digits.jsonl.gz").write_bytes(other)
    with pytest.raises(DatasetUnavailable, match="expected sha256"):
        sources.load(tmp_path)


def test_the_aspect_is_kept_if_x_and_y_have_different_resolutions() -> None:
    real = sources.locate()
    if real is None:
        pytest.skip("pen ink is not here: set INKSTREAM_DATA to the folder that holds pendigits/")
    first = sources.load(real)["unipen/digits.jsonl.gz"][0]
    assert first.writer == "aga/amywldrp"
    # The row's first point is (165, 430) at 33.7283 counts a millimetre in x, 38.5551 in y.
    np.testing.assert_allclose(first.strokes[0][0], [165, 430 * 33.7283 / 38.5551])


def test_a_string_is_cut_where_its_strokes_tell_whose_they_are(small_ink: Path) -> None:
    digits = sources.load(small_ink)["unipen/digit_strings.jsonl.gz"]
    assert "".join(glyph.label for glyph in digits[:4]) == "4790"
    assert [len(glyph.strokes) for glyph in digits[:4]] == [2, 1, 1, 1]
    assert all(glyph.in_string for glyph in digits)
    assert digits[0].writer == "site/w0"
    # The 7 lies to the right of the 4.
    assert digits[1].strokes[0][:, 0].min() > digits[0].strokes[0][:, 0].max()
