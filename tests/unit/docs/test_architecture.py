from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVER, CLIENT = ROOT / "server" / "inkstream_server", ROOT / "client" / "inkstream"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def imported(module: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def arrows(package: Path) -> dict[str, set[str]]:
    """The rooms, folders and modules alike, that each room of a package imports."""
    found: dict[str, set[str]] = {}
    for module in package.rglob("*.py"):
        room = module.relative_to(package).parts[0].removesuffix(".py")
        for name in imported(module):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top == package.name and other != room and list(package.glob(f"{other}*")):
                found.setdefault(room, set()).add(other)
    return found


@pytest.mark.parametrize(
    ("package", "most"), [(SERVER, 25), (CLIENT, 22)], ids=["server", "client"]
)
def test_a_package_shows_few_entries(package: Path, most: int) -> None:
    entries = [it.name for it in package.iterdir() if not it.name.startswith("__py")]
    assert len(entries) <= most, entries


@pytest.mark.parametrize("package", [SERVER, CLIENT], ids=["server", "client"])
def test_imports_between_rooms_form_no_circle(package: Path) -> None:
    left = arrows(package)
    while leaves := [room for room, others in left.items() if not others & left.keys()]:
        for room in leaves:
            del left[room]
    assert left == {}


def test_the_page_names_every_room_and_no_path_that_is_not_there() -> None:
    for package in (SERVER, CLIENT):
        for entry in package.iterdir():
            if entry.is_dir() and not entry.name.startswith("__") and entry.name != "models":
                assert f"{entry.name}/" in PAGE, f"{entry.name} is missing"
    paths = re.findall(r"`([\w/.]+(?:\.py|/))`", PAGE)
    missing = [it for it in paths if not any((top / it).exists() for top in (ROOT, SERVER, CLIENT))]
    assert missing == []
