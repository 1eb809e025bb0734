"""Installs the wheels of `make dist` and of the Dockerfile outside the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import inkstream
import pytest
from inkstream import mnist as mnist_files

from tests.integration.conftest import RunningServer, running_server

ROOT = Path(__file__).parents[2]
NAMES = ("inkstream", "inkstream_server", "inkstream_training")

pytestmark = pytest.mark.timeout(400)  # The first run downloads the packages.


class Place:
    """A new virtual environment that sees only the installed packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv" / "bin"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "INKSTREAM_", "COV", "VIRTUAL_ENV"))
        } | {"PIP_CONSTRAINT": str(ROOT / "constraints.txt"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(self, program: str, *arguments: str) -> str:
        """Run an installed program outside the checkout; return its output."""
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An environment with the wheels of the client (with its command line) and of the server."""
    place = Place(tmp_path_factory.mktemp("fresh"))
    subprocess.run(
        ["make", "dist", f"DIST={place.folder}", f"PIP_WHEEL={place.bin}/pip wheel -q --no-deps"],
        cwd=ROOT,
        check=True,
        stdout=sys.stderr,
    )
    client, server, training = (next(place.folder.glob(f"{name}-*.whl")) for name in NAMES)
    place.run("pip", "install", "--quiet", f"{client}[cli]", str(server))
    # Without its dependencies, because TensorFlow takes minutes and `--version` does not need it.
    place.run("pip", "install", "--quiet", "--no-deps", str(training))
    return place


@pytest.fixture(scope="module")
def installed_server(place: Place) -> Iterator[RunningServer]:
    with running_server(
        place.folder, program=[str(place.bin / "inkstream-server")], environment=place.environment
    ) as running:
        yield running


def test_an_installed_server_recognises_digits_for_an_installed_client(
    place: Place, installed_server: RunningServer
) -> None:
    if (mnist := mnist_files.locate()) is None:
        pytest.skip("MNIST is not here: set INKSTREAM_DATA to the folder that holds mnist/")
    images, labels = (next(mnist.glob(f"t10k-{kind}*")) for kind in ("images", "labels"))
    address = ("--server", installed_server.address)
    printed = place.run(
        "inkstream", "eval", str(images), str(labels), "--limit", "500", "--json", *address
    )
    shown = json.loads(printed)
    assert shown["images"] == 500
    assert shown["accuracy"] > 0.97


def test_all_programs_print_the_same_version(place: Place) -> None:
    for program in ("inkstream", "inkstream-server", "inkstream-train"):
        assert place.run(program, "--version").split()[-1] == inkstream.__version__


def test_each_package_ships_its_types(place: Place) -> None:
    places = place.run(
        "python",
        "-c",
        "import inkstream, os; print(os.path.dirname(os.path.dirname(inkstream.__file__)))",
    )
    for name in NAMES:
        assert (Path(places.strip()) / name / "py.typed").exists()


def test_each_package_carries_its_licence(place: Place) -> None:
    printed = place.run(
        "python",
        "-c",
        "from importlib.metadata import distribution\n"
        f"for name in {NAMES}:\n"
        "    package = distribution(name)\n"
        "    files = {file.name for file in package.files}\n"
        "    print(package.metadata['License-Expression'], 'LICENSE' in files)",
    )
    assert printed.split("\n")[:-1] == ["Apache-2.0 True"] * 3


def test_nothing_installed_comes_from_the_checkout(place: Place) -> None:
    found = place.run("python", "-c", "import inkstream_server.cli as it; print(it.__file__)")
    assert found.startswith(str(place.folder))


def test_the_packages_of_the_dockerfile_serve_and_trace(place: Place, tmp_path: Path) -> None:
    # Does in a folder what the Dockerfile does in its first image, because there is no daemon.
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    (steps,) = re.findall(r"^RUN (pip (?:.*\\\n)*.*)", dockerfile, re.MULTILINE)
    for name in ("client", "server"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.egg-info"))
    for file in (ROOT / "deploy" / "docker").glob("requirements*.txt"):
        shutil.copy(file, tmp_path)
    for folder in ("/wheels", "/opt/inkstream"):
        steps = steps.replace(folder, f"{tmp_path}{folder}")
    environment = place.environment | {"PATH": f"{place.bin}:{os.environ['PATH']}"}
    del environment["PIP_CONSTRAINT"]  # The image has hashes instead.
    subprocess.run(steps, shell=True, cwd=tmp_path, env=environment, check=True, stdout=sys.stderr)
    server = tmp_path / "opt" / "inkstream" / "bin" / "inkstream-server"
    with running_server(
        tmp_path, "--traces", "otlp", program=[str(server)], environment=environment
    ) as running:
        assert running.metrics().value("inkstream_streams") == 0
    assert not (server.parent / "pip").exists()
