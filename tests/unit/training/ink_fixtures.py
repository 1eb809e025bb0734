import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from inkstream.ink import Ink, Stroke, write
from inkstream_training import letters as letter_images
from inkstream_training.ink import sources

Points = npt.NDArray[np.float64]

CORNERS = {"a": (0, 0), "b": (1, 0), "c": (0, 1), "d": (1, 1), "e": (0, 2), "f": (1, 2)}
"""Places on the display of a pocket calculator, y down."""

WAYS = {
    "0": "abfea", "1": "bf", "2": "abdcef", "3": "abdcdfe", "4": "acdbf", "5": "bacdfe",
    "6": "bacefdc", "7": "abf", "8": "acdbacefd", "9": "dcabdf",
    "K": "ac ce bc cf", "#": "ac bd ab cd ef", "O": "abfea",
}  # fmt: skip
"""The path of the pen for each character; a blank lifts it."""


def written(label: str, rng: np.random.Generator, *, up: bool) -> tuple[Points, ...]:
    """A character in an unsteady hand."""
    strokes = []
    for way in WAYS[label].split():
        points = np.array([CORNERS[corner] for corner in way], np.float64) * (100, 90)
        points = np.repeat(points, 2, axis=0)[1:] + rng.normal(0, 4, (2 * len(way) - 1, 2))
        strokes.append(points * (1, -1) if up else points)
    return tuple(strokes)


def inks(
    labels: str, writers: Sequence[tuple[str | None, str]], *, up: bool, numbered: bool = False
) -> Iterator[Ink]:
    rng = np.random.default_rng(len(labels))
    for index, (contributor, writer) in enumerate(writers):
        for label in labels:
            yield Ink(
                tuple(Stroke.of(points) for points in written(label, rng, up=up)),
                y="up" if up else "down",
                label=label,
                writer=writer,
                contributor=contributor,
                index=index if numbered else None,
            )


def strings(writers: Sequence[tuple[str | None, str]]) -> Iterator[Ink]:
    """Strings whose digits can be told apart by their strokes, and one that cannot."""
    rng = np.random.default_rng(1)
    for contributor, writer in writers:
        for label, counts in (("4 7", [2, 1]), ("90", None), ("444", None)):
            strokes: list[Points] = []
            for place, digit in enumerate(label.replace(" ", "")):
                drawn = written(digit, rng, up=True)
                if counts and counts[place] == 2:
                    drawn = (drawn[0][:5], drawn[0][4:])
                strokes += [points + np.array([200.0 * place, 0.0]) for points in drawn]
            yield Ink(
                tuple(Stroke.of(points) for points in strokes[: 2 if label == "444" else None]),
                y="up",
                label=label,
                writer=writer,
                contributor=contributor,
                extra={"strokes_per_digit": counts} if counts else {},
            )


@pytest.fixture(scope="session")
def ink_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files of every source, y up in two and down in one as in the real ones."""
    folder = tmp_path_factory.mktemp("ink")
    thirty = [(None, str(number)) for number in range(1, 31)]
    sites = [("site", f"w{number}") for number in range(40)]
    letters = [("site", f"w{number}") for number in range(60)]
    w_thirty = [(None, f"W{number:02}") for number in range(1, 31)]
    for name, content in (
        ("pendigits/pendigits-orig.tra.gz", inks("0123456789", thirty, up=True, numbered=True)),
        ("unipen/digits.jsonl.gz", inks("0123456789", sites, up=True)),
        ("unipen/nondigits.jsonl.gz", inks("K#O", letters, up=True)),
        ("unipen/digit_strings.jsonl.gz", strings(sites[:10])),
        ("uji/digits.jsonl.gz", inks("0123456789", w_thirty, up=False)),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        write(folder / name, content)
    rng = np.random.default_rng(0)
    (folder / letter_images.FILE).parent.mkdir()
    labels = np.array(list("KxO") * 130)
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        rows = {"K": slice(2, 5), "x": slice(12, 15), "O": slice(22, 25)}[label]
        image[rows, 2:26] = rng.integers(100, 256, (3, 24))
    np.savez(folder / letter_images.FILE, images=images, labels=labels)
    return folder


@pytest.fixture
def small_ink(ink_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small files, in place of the published ones."""
    files = tuple(
        dataclasses.replace(
            file, sha256=hashlib.sha256((ink_files / file.name).read_bytes()).hexdigest()
        )
        for file in sources.FILES
    )
    monkeypatch.setattr(sources, "FILES", files)
    content = (ink_files / letter_images.FILE).read_bytes()
    monkeypatch.setattr(letter_images, "SHA256", hashlib.sha256(content).hexdigest())
    return ink_files
