"""Reads a package's imports from its source: which modules import which, and which of its rooms.

A room is an entry of the package's folder: a folder, or a module.
"""

from __future__ import annotations

import ast
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]


def imports_of(folder: str) -> dict[str, set[str]]:
    """Give the modules that each module of a package imports from it, inside functions, too.

    Args:
        folder: the package's, relative to the repository.
    """
    package = ROOT / folder
    sources = {_name_of(path, package): path for path in package.rglob("*.py")}
    imports: dict[str, set[str]] = {}
    for module, path in sources.items():
        imports[module] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{module} imports relatively"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                found = name if name in sources else name.rpartition(".")[0]
                if found in sources and found != module:
                    imports[module].add(found)
    return imports


def circle_in(imports: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle; none if there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def arrows_up(imports: dict[str, set[str]], rooms: list[str]) -> list[str]:
    """Give the imports that do not run down a list of rooms, each as "module -> module".

    Args:
        imports: see `imports_of`.
        rooms: all rooms of the package; each may import only those behind it. "__init__" is the package.
    """
    place = {room: number for number, room in enumerate(rooms)}
    unknown = {_room_of(module) for module in imports} - place.keys()
    assert not unknown, f"rooms without a place in the order: {unknown}"
    return [
        f"{module} -> {imported}"
        for module, found in sorted(imports.items())
        for imported in sorted(found)
        if _room_of(module) != _room_of(imported)
        and place[_room_of(module)] >= place[_room_of(imported)]
    ]


def entries_of(folder: str) -> set[str]:
    """Return the names of the entries in a folder of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    depth = len(Path(folder).parts)
    return {Path(line).parts[depth] for line in listed.stdout.splitlines()}


def _name_of(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room_of(module: str) -> str:
    _, *inside = module.split(".")
    return inside[0] if inside else "__init__"
