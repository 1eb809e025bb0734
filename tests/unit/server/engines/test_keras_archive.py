from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.config import BUNDLED
from inkstream_server.engines.keras_archive import require_plain

PATH = Path("digits/3/model.keras")


def archive(config: bytes = b"{}", *, packing: int = zipfile.ZIP_STORED, **others: bytes) -> bytes:
    """Make an archive with a configuration, and whatever else it should hold."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as file:
        file.writestr("config.json", config)
        file.writestr("metadata.json", b"{}")
        file.writestr("model.weights.h5", b"")
        for name, content in others.items():
            file.writestr(name.replace("_", "."), content)
    return packed.getvalue()


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*/*/model.keras")), ids=str)
def test_the_bundled_models_pass_the_check(path: Path) -> None:
    require_plain(path.read_bytes(), path)


@pytest.mark.parametrize(
    "made",
    [
        {"module": "keras.layers", "class_name": "Lambda"},
        {"module": "keras.layers", "class_name": "TFSMLayer"},
        {"module": "os", "class_name": "system"},
        {"module": ["keras"], "class_name": {}},
        {"class_name": "Dense"},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": "evil>Dense"},
    ],
)
def test_a_class_that_is_not_on_the_list_is_refused(made: object) -> None:
    config = json.dumps({"module": "keras", "class_name": "Sequential", "config": [made]})
    with pytest.raises(ValueError, match="is not part of a plain network"):
        require_plain(archive(config.encode()), PATH)


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_archive_is_refused_unopened(packing: int) -> None:
    bomb = archive(bytes(65 << 20), packing=packing)
    assert len(bomb) < 1 << 20
    with pytest.raises(ValueError, match=r"config\.json is compressed"):
        require_plain(bomb, PATH)


def test_a_bomb_that_states_a_small_size_is_refused() -> None:
    # zipfile would unpack it whole and keep the two bytes that it states.
    bomb = bytearray(archive(b"{}" + b" " * (65 << 20), packing=zipfile.ZIP_DEFLATED))
    entry = bomb.index(b"PK\1\2")
    for field, value in ((16, zlib.crc32(b"{}")), (24, 2)):
        struct.pack_into("<I", bomb, entry + field, value)
    with zipfile.ZipFile(io.BytesIO(bomb)) as file:
        assert file.getinfo("config.json").file_size == 2
    with pytest.raises(ValueError, match=r"config\.json is compressed"):
        require_plain(bytes(bomb), PATH)


def test_more_members_than_keras_writes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected config\.json, .* each once, got"):
        require_plain(archive(evil_py=b""), PATH)
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(config_json=b"{}")
    with pytest.raises(ValueError, match=r"each once, got"):
        require_plain(twice, PATH)


def test_a_long_configuration_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ValueError, match=r"config\.json: expected at most 1048576 bytes"):
        require_plain(archive(b"[" * (1 << 20) + b"["), PATH)


def test_a_deep_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is no \.keras archive"):
        require_plain(archive(b"[" * 100_000), PATH)


def test_a_file_that_is_no_archive_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is no \.keras archive"):
        require_plain(b"PK\3\4 not a zip", PATH)


@pytest.mark.parametrize("flag", [0x01, 0x20], ids=["encrypted", "patched"])
def test_an_archive_that_cannot_be_unpacked_is_refused(flag: int) -> None:
    # Found by `make fuzz`: zipfile raises RuntimeError and NotImplementedError for these.
    content = bytearray(archive())
    content[6] |= flag
    content[content.index(b"PK\1\2") + 8] |= flag
    with pytest.raises(ValueError, match=r"is no \.keras archive"):
        require_plain(bytes(content), PATH)


def test_an_archive_whose_content_is_damaged_is_refused() -> None:
    content = bytearray(archive(json.dumps([*range(1000)]).encode()))
    content[60:70] = b"\xff" * 10
    with pytest.raises(ValueError, match=r"is no \.keras archive"):
        require_plain(bytes(content), PATH)


DAMAGE = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), max_size=6)
"""Bytes to write and their places, modulo the length."""


@given(damage=DAMAGE, length=st.none() | st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_a_damaged_archive_passes_or_is_refused(
    damage: list[tuple[int, bytes]], length: int | None
) -> None:
    content = bytearray((BUNDLED / "digits" / "1" / "model.keras").read_bytes())
    for place, written in damage:
        at = place % len(content)
        content[at : at + len(written)] = written
    try:
        require_plain(bytes(content if length is None else content[: length % len(content)]), PATH)
    except ValueError as refused:
        assert str(PATH) in str(refused)
