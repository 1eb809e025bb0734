"""Follows docs/your-own-model.md: makes its network, types its commands, and compares its figures' names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from inkstream import Client, mnist

from tests.conftest import Mnist
from tests.integration.conftest import running_server

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-model.md").read_text()
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
ADD, SERVE = (shlex.split(line[2:]) for line in re.findall(r"^\$ .*", PAGE, re.M))
OUTPUT = re.findall(r"^```\n(my-cnn\.keras: .*?)^```", PAGE, re.M | re.S)[0]


def names(output: str) -> list[str]:
    """Give the name of each figure, and the lines without one up to their first number."""
    return [re.split(r" {2,}|\d", line.strip())[0] for line in output.splitlines()]


@pytest.mark.slow
def test_the_page_leads_from_a_network_to_a_server_that_answers_by_it(
    tmp_path: Path, mnist: Mnist
) -> None:
    pytest.importorskip(
        "tensorflow", reason="TensorFlow is missing: pip install -e 'server[keras]'"
    )
    for file in mnist_files():
        (tmp_path / file.name).symlink_to(file)
    subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, check=True, capture_output=True)
    added = subprocess.run(
        [sys.executable, "-P", "-m", "inkstream_server", *ADD[1:]],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert names(added.stdout) == names(OUTPUT)
    assert shlex.join(SERVE) in added.stdout
    flags = ["--model", "my-cnn", "--model-store", str(tmp_path / "models")]
    assert SERVE[2:] == [*flags[:3], "models"]
    images, labels = mnist[0][:200], mnist[1][:200]
    with running_server(tmp_path, *flags) as server, Client(server.address) as client:
        results = list(client.stream(images))
    assert {result.model for result in results} == {"my-cnn/1"}
    right = [result.digit == label for result, label in zip(results, labels, strict=True)]
    assert sum(right) > 100, "some are rejected as unsure"


def mnist_files() -> list[Path]:
    """Give MNIST's files of test images."""
    folder = mnist.locate()
    assert folder is not None
    return [folder / file.name for file in mnist.FILES["test"]]
