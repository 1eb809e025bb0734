from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SERVER, CLIENT = ROOT / "server" / "inkstream_server", ROOT / "client" / "inkstream"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_the_page_names_every_room_and_only_existing_paths() -> None:
    for package in (SERVER, CLIENT):
        for entry in package.iterdir():
            if entry.is_dir() and not entry.name.startswith("__") and entry.name != "models":
                assert f"{entry.name}/" in PAGE, f"{entry.name} is missing"
    paths = re.findall(r"`([\w/.]+(?:\.py|/))`", PAGE)
    missing = [it for it in paths if not any((top / it).exists() for top in (ROOT, SERVER, CLIENT))]
    assert missing == []
