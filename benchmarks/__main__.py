"""`make bench`: the server and the transport's floor in turn, on one core, load on the other."""

import json
import os
import platform
import statistics
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from inkstream.mnist import load as load_mnist
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import load, processes
from benchmarks.load import Load, Speed

CASES = {
    "1 image a message, 1 stream": Load(1, 1, 20_000),
    "1 image a message, 8 streams": Load(8, 1, 2_500),
    "1 image a message, 64 streams": Load(64, 1, 400),
    "64 images a message, 4 streams": Load(4, 64, 800),
}
RIGHT_AT_LEAST = 0.98
CLIENT_IMAGES = 60_000

Rows = dict[str, dict[str, list[Speed]]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=3, show_default=True, help="Runs of each case, in turn.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
def main(rounds: int, json_path: Path | None) -> None:
    """Measure the server beside a bare grpc.aio echo of the same message sizes, in the same run.

    \b
    Example:
      python -m benchmarks --rounds 3 --json bench.json
    """
    console = Console(stderr=True)
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    images, labels = load_mnist("test")
    speeds: Rows = defaultdict(lambda: defaultdict(list))
    ready: list[tuple[float, float]] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=rounds * (3 * len(CASES) + 1))
        for _ in range(rounds):
            if load.have_h2load():
                for name, case in CASES.items():
                    for kind in ("raw", "stubs"):
                        with processes.floor(kind, case.per_message) as floor:
                            speeds[name][f"floor, {kind}"].append(_run(floor, images, case))
                        progress.advance(task)
                    with processes.server() as server:
                        ready.append((server.ready_seconds, server.resident_mb()))
                        speeds[name]["inkstream"].append(_run(server, images, case))
                        progress.advance(task)
            with processes.server() as server:
                ready.append((server.ready_seconds, server.resident_mb()))
                speed, right = load.run_client_stream(server, images, labels, CLIENT_IMAGES)
                if right < RIGHT_AT_LEAST:
                    raise click.ClickException(f"only {right:.2%} of the answers were right")
                speeds["Client.stream, one image at a time"]["inkstream"].append(speed)
                progress.advance(task)
    if not load.have_h2load():
        console.print("h2load is missing (Debian: nghttp2-client): its cases were left out")
    _print(speeds, ready)
    if json_path is not None:
        json_path.write_text(json.dumps(_report(speeds, ready, rounds), indent=1) + "\n")


def _run(target: processes.Running, images: NDArray[np.uint8], case: Load) -> Speed:
    """Warm up, run, and check that a server answered all it was sent."""
    load.run_h2load(target, images, Load(case.streams, case.per_message, case.messages // 10))
    before = load.counted(target) if target.metrics else 0
    speed = load.run_h2load(target, images, case)
    if target.metrics and load.counted(target) - before != case.images:
        raise click.ClickException(f"of {case.images} images some were not answered well")
    return speed


def _median(speeds: list[Speed], field: str) -> float:
    return float(statistics.median(getattr(speed, field) for speed in speeds))


def _print(speeds: Rows, ready: list[tuple[float, float]]) -> None:
    table = Table("case", "who", "images/s", "x raw floor", "CPU us/image", "MB resident")
    for name, who in speeds.items():
        for kind, runs in who.items():
            rate = _median(runs, "images_per_second")
            floors = who.get("floor, raw")
            table.add_row(
                name,
                kind,
                f"{rate:,.0f}",
                f"{rate / _median(floors, 'images_per_second'):.2f}" if floors else "",
                f"{_median(runs, 'cpu_us_per_image'):.1f}",
                f"{_median(runs, 'resident_mb'):.0f}",
            )
    Console().print(table)
    seconds, megabytes = (statistics.median(column) for column in zip(*ready, strict=True))
    click.echo(f"start to ready: {seconds:.2f} s, {megabytes:.0f} MB resident (medians)")


def _report(speeds: Rows, ready: list[tuple[float, float]], rounds: int) -> dict[str, object]:
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "rounds": rounds,
        "ready": {"seconds": [row[0] for row in ready], "resident_mb": [row[1] for row in ready]},
        "medians": {
            name: {
                kind: {
                    field: round(_median(runs, field), 2)
                    for field in ("images_per_second", "cpu_us_per_image", "resident_mb")
                }
                for kind, runs in who.items()
            }
            for name, who in speeds.items()
        },
    }


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
