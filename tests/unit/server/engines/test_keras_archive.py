from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.config import BUNDLED
from inkstream_server.engines.keras_archive import require_plain


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)
    return path


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*/*/model.keras")), ids=str)
def test_the_bundled_models_pass_the_check(path: Path) -> None:
    require_plain(path)


@pytest.mark.parametrize(
    "made",
    [
        {"module": "keras.layers", "class_name": "Lambda"},
        {"module": "keras.layers", "class_name": "TFSMLayer"},
        {"module": "os", "class_name": "system"},
        {"class_name": "Dense"},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": "evil>Dense"},
    ],
)
def test_a_class_that_is_not_on_the_list_is_refused(tmp_path: Path, made: object) -> None:
    config = json.dumps({"module": "keras", "class_name": "Sequential", "config": [made]})
    with pytest.raises(ValueError, match="is not part of a plain network"):
        require_plain(archive(tmp_path / "m.keras", config_json=config.encode()))


def test_an_archive_that_unpacks_to_too_much_is_refused_unopened(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "m.keras", config_json=bytes(65 << 20))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match="of at most 67108864 bytes"):
        require_plain(bomb)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK\3\4 not a zip")
    with pytest.raises(ValueError, match=r"is no \.keras archive"):
        require_plain(tmp_path / "m.keras")


@pytest.mark.parametrize("flag", [0x01, 0x20], ids=["encrypted", "patched"])
def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path: Path, flag: int) -> None:
    # Found by `make fuzz`: zipfile raises RuntimeError and NotImplementedError for these.
    path = archive(tmp_path / "m.keras", config_json=b"{}")
    content = bytearray(path.read_bytes())
    content[6] |= flag
    content[content.index(b"PK\1\2") + 8] |= flag
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is no \.keras archive"):
        require_plain(path)


def test_an_archive_whose_content_is_damaged_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", config_json=json.dumps([*range(1000)]).encode())
    content = bytearray(path.read_bytes())
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is no \.keras archive"):
        require_plain(path)


DAMAGE = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), max_size=6)
"""Bytes to write and their places, modulo the length."""


@given(damage=DAMAGE, length=st.none() | st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_a_damaged_archive_passes_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]], length: int | None
) -> None:
    content = bytearray((BUNDLED / "digits" / "3" / "model.keras").read_bytes())
    for place, written in damage:
        at = place % len(content)
        content[at : at + len(written)] = written
    path = tmp_path_factory.getbasetemp() / "damaged.keras"
    path.write_bytes(content if length is None else content[: length % len(content)])
    try:
        require_plain(path)
    except ValueError as refused:
        assert str(path) in str(refused)
