"""Whatever lies in a store is served or refused with a sentence: nothing hangs or ends the server."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inkstream_server.model_store.store import BUNDLED, ModelError, load_folder
from inkstream_server.model_store.watch import survey

SOUND = BUNDLED / "digits" / "4"


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def bytes_of(content: bytes) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(content))


def void(_: object) -> None:
    """Drop a result."""


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 3 << 30)


def sound_file(path: Path) -> None:
    if (SOUND / path.name).is_file():
        shutil.copyfile(SOUND / path.name, path)


def deep_card(path: Path) -> None:
    path.write_text("[" * 100_000)


def large_card(path: Path) -> None:
    card = json.loads((SOUND / "card.json").read_text())
    path.write_text(json.dumps(card | {"note": "n" * 5_000_000}))


ENTRY = st.one_of(
    st.sampled_from([
        sound_file, sound_file, sound_file, os.mkfifo, Path.mkdir, sparse, deep_card, large_card,
        link_to("/dev/zero"), link_to("/proc/self/maps"), link_to("nowhere"), link_to("."), link_to(".."),
        link_to("card.json"), link_to(str(SOUND)),
    ]),
    st.binary(max_size=40).map(bytes_of),
    st.text(max_size=20).map(lambda text: bytes_of(text.encode("utf-8", "surrogatepass"))),
)  # fmt: skip
VERSION = st.fixed_dictionaries(
    {}, optional={"card.json": ENTRY, "model.tflite": ENTRY, "model.keras": ENTRY}
)
NAME = st.sampled_from(
    ["1", "2", "03", "٣", "latest", " ", "4\n", "\x1b[2J", os.fsdecode(b"5\xff")]
)


@given(
    pin=st.none() | ENTRY | NAME.map(lambda name: bytes_of(os.fsencode(name))),
    found=st.dictionaries(NAME, VERSION | ENTRY, max_size=3),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_store_is_served_or_refused_with_a_sentence(
    tmp_path: Path,
    pin: Callable[[Path], None] | None,
    found: dict[str, dict[str, Callable[[Path], None]] | Callable[[Path], None]],
) -> None:
    name = tmp_path / "digits"
    shutil.rmtree(name, ignore_errors=True)
    name.mkdir()
    if pin is not None:
        pin(name / "serving")
    for version, entry in found.items():
        if callable(entry):
            entry(name / version)
            continue
        (name / version).mkdir()
        for file, make in entry.items():
            make(name / version / file)
    reasons = []
    try:
        for folder, _ in survey(tmp_path, "digits").candidates:
            try:
                assert load_folder(folder).label.isprintable()
            except ModelError as refused:
                reasons.append(str(refused))
    except ModelError as refused:
        reasons.append(str(refused))
    for reason in reasons:
        assert reason.isprintable()
        assert len(reason) < 1000


@pytest.mark.parametrize("value", [10**30, -1, True, "0.5", None, [], {}])
def test_a_rule_of_a_wrong_type_or_size_is_refused(tmp_path: Path, value: object) -> None:
    folder = tmp_path / "digits" / "3"
    shutil.copytree(SOUND, folder)
    card = json.loads((folder / "card.json").read_text())
    for changes in (
        {"ink_temperature": value},
        {"reject": card["reject"] | {"unsure_below": value}},
    ):
        (folder / "card.json").write_text(json.dumps(card | changes))
        with pytest.raises(ModelError, match=r"the card of model digits/3: "):
            load_folder(folder)
