"""The image installs what is tested, and nothing whose hash is not in the repository."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "deploy" / "docker"
FILES = ("requirements.txt", "requirements-build.txt")
LINUX: dict[str, str] = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "python_version": "3.11",
}


def pins(path: Path) -> dict[str, str]:
    """Give the version of each package that a file pins."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def needs(project: str, *extras: str) -> set[Requirement]:
    """Give what a project of ours asks for."""
    described: Any = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]
    wanted = [*described["dependencies"]]
    for extra in extras:
        wanted += described["optional-dependencies"][extra]
    return {*map(Requirement, wanted)}


def closure(wanted: set[Requirement]) -> set[str]:
    """Give the names of packages and of all that they need, as installed here."""
    names: set[str] = set()
    while wanted:
        one = wanted.pop()
        name = canonicalize_name(one.name)
        if name in names or name.startswith("inkstream"):
            continue
        if one.marker is not None and not one.marker.evaluate({**LINUX, "extra": ""}):
            continue
        names.add(name)
        wanted |= {*map(Requirement, distribution(name).requires or ())}
    return names


@pytest.mark.parametrize("name", FILES)
def test_the_lock_agrees_with_the_versions_that_are_tested(name: str) -> None:
    tested, locked = pins(ROOT / "constraints.txt"), pins(DOCKER / name)
    assert locked
    assert locked.items() <= tested.items(), "run `make lock` and commit the result"


def test_the_lock_holds_exactly_what_the_image_needs() -> None:
    needed = closure(needs("client") | needs("server", "otel"))
    assert pins(DOCKER / "requirements.txt").keys() == needed, "run `make lock`"


def test_the_lock_holds_what_builds_the_wheels() -> None:
    for project in ("client", "server"):
        described = tomllib.loads((ROOT / project / "pyproject.toml").read_text())
        asked = {canonicalize_name(it) for it in described["build-system"]["requires"]}
        assert asked <= pins(DOCKER / "requirements-build.txt").keys()


@pytest.mark.parametrize("name", FILES)
def test_the_lock_has_hashes_and_no_address(name: str) -> None:
    text = (DOCKER / name).read_text()
    for entry in re.split(r"\n(?=[A-Za-z])", text.strip()):
        pin, *hashes = re.split(r"\s*\\?\n\s+", entry.removesuffix("\n"))
        assert re.fullmatch(r"[a-z0-9-]+==[^\s;]+( ; .+)?( \\)?", pin), pin
        assert hashes, f"{pin} has no hash"
        for each in hashes:
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each), each
    assert "://" not in text


def test_the_image_takes_nothing_without_its_hash() -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    installs = re.findall(r"\bpip (?:install|wheel) (.*?)(?: \\)?\n", dockerfile)
    assert len(installs) == 4
    for arguments in installs:
        offline = "--no-deps" in arguments and (
            "--no-index" in arguments or "--no-build-isolation" in arguments
        )
        assert offline or "--require-hashes --only-binary=:all: -r requirements" in arguments
