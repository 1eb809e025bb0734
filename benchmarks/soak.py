"""Uses a server for a long time in every way, and checks that nothing leaks.

Fails if memory grows over the second half, if descriptors, threads, streams or the queue do not return to
their start, or if the server's own counters do not add up to the last item.
"""

import asyncio
import json
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import monotonic

import click
from inkstream_server.model_store.store import BUNDLED
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from benchmarks.load.digits import Wrong, mnist
from benchmarks.load.soak_callers import Callers
from benchmarks.load.writing import real_ink
from benchmarks.report import pictures
from benchmarks.servers import processes
from benchmarks.servers.processes import Running

LOOK_SECONDS = 2.0
"""Time between two samples of the process."""

GROWTH_AT_MOST = 0.02
"""Largest growth of resident memory over the second half of the run; see `growth`."""

CALM_SECONDS = 20.0
"""How long the server may take to release everything after the last call."""

WARM_SECONDS = 15.0
"""Time of the same use before the first sample, so that memory allocated once does not count as growth."""


@dataclass(frozen=True, slots=True)
class Look:
    """The process at one moment."""

    seconds: float
    """Since the start of the soak."""
    resident_mb: float
    descriptors: int
    threads: int
    """Threads without those of gRPC's pool."""
    streams: float
    queue: float


POOL = "event_engine"
"""The name of the threads in gRPC's pool. Their number follows the load and is bounded, so they are not
counted; any other thread that stays is a leak."""


class Leftovers(Exception):
    """The server kept something, or its counters do not add up."""


def look(server: Running, began: float) -> Look:
    """Sample a server's process and its page of metrics."""
    # Read before the scrape, which uses a thread and a descriptor itself.
    process = Path(f"/proc/{server.pid}")
    descriptors = len(list((process / "fd").iterdir()))
    threads = sum(_name(thread) != POOL for thread in (process / "task").iterdir())
    samples = scrape(server)
    return Look(
        seconds=round(monotonic() - began, 1),
        resident_mb=round(server.resident_mb(), 2),
        descriptors=descriptors,
        threads=threads,
        streams=samples["inkstream_streams", ()],
        queue=sum(it for (name, _), it in samples.items() if name == "inkstream_queue_depth"),
    )


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by name and labels."""


def scrape(server: Running) -> Samples:
    """Read a server's page of metrics."""
    with urllib.request.urlopen(server.metrics, timeout=10) as page:
        text = page.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def reconcile(samples: Samples) -> dict[str, float]:
    """Add up the counters of an idle server.

    Returns: accepted items and their outcomes, by kind.

    Raises:
        Leftovers: an item was accepted and did not end, or ended twice.
    """
    sums: dict[str, float] = {}
    for kind in ("tensor", "ink"):
        accepted = samples["inkstream_items_accepted_total", (("kind", kind),)]
        ended = {
            dict(labels)["outcome"]: value
            for (name, labels), value in samples.items()
            if name == "inkstream_items_total" and dict(labels)["kind"] == kind and value
        }
        if accepted != sum(ended.values()):
            raise Leftovers(f"{accepted:,.0f} items of {kind} were accepted, and ended so: {ended}")
        sums[f"{kind} accepted"] = accepted
        sums |= {f"{kind} {outcome}": value for outcome, value in ended.items()}
    return sums


def growth(looks: Sequence[Look]) -> float:
    """Return the share by which memory grew over the second half of a run.

    Compares medians of the first and last fifth of that half, because garbage raises single looks.
    """
    half = looks[len(looks) // 2 :]
    fifth = max(1, len(half) // 5)
    first, last = (
        median(each.resident_mb for each in part) for part in (half[:fifth], half[-fifth:])
    )
    return last / first - 1


async def soak(server: Running, callers: Callers, seconds: float, console: Console) -> list[Look]:
    """Run callers for `seconds`, and look at the server meanwhile."""
    calling = asyncio.create_task(callers.run())
    began = monotonic()
    looks = [await asyncio.to_thread(look, server, began)]
    with Progress(
        *Progress.get_default_columns()[:3], TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("soaking", total=seconds)
        while (passed := monotonic() - began) < seconds and not calling.done():
            await asyncio.sleep(LOOK_SECONDS)
            looks.append(await asyncio.to_thread(look, server, began))
            last = looks[-1]
            words = f"{last.resident_mb:.1f} MB, {sum(callers.done.values()):,} rounds"
            progress.update(task, completed=passed, description=words)
    callers.stop()
    await calling
    return looks


async def calm(server: Running, like: Look | None = None) -> Look:
    """Wait until every stream is gone and, if `like` is given, the server holds no more than then.

    Raises:
        Leftovers: the server still holds something after CALM_SECONDS.
    """
    began = monotonic()
    while True:
        seen = await asyncio.to_thread(look, server, began)
        left = [f"{seen.streams:.0f} streams"] if seen.streams else []
        left += [f"{seen.queue:.0f} items"] if seen.queue else []
        for name in ("descriptors", "threads") if like else ():
            was, now = getattr(like, name), getattr(seen, name)
            left += [f"{now} {name} where there were {was}"] if now > was else []
        if not left:
            return seen
        if seen.seconds > CALM_SECONDS:
            raise Leftovers("left: " + ", ".join(left))
        await asyncio.sleep(0.2)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=10.0, show_default=True, help="How long to use the server.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all looks here.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the memory here.")
@click.argument("flags", nargs=-1)
def main(
    minutes: float, json_file: Path | None, picture: Path | None, flags: tuple[str, ...]
) -> None:
    """Use a server in every way for some minutes, and check that nothing leaks.

    FLAGS are passed to the server.

    \b
    Examples:
      python -m benchmarks.soak
      python -m benchmarks.soak --minutes 60 --picture plots/soak.svg -- --max-batch 64
    """
    console = Console(stderr=True)
    digits, inks = mnist(), real_ink()
    os.sched_setaffinity(0, {processes.LOAD_CORE})
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "digits"
        shutil.copytree(_newest(BUNDLED / "digits"), store / "1")
        with processes.server("--model-store", folder, *flags) as server:
            try:
                asyncio.run(_warm(Callers(server.address, digits, inks, store)))
                before = asyncio.run(calm(server))
                callers = Callers(server.address, digits, inks, store)
                looks = asyncio.run(soak(server, callers, minutes * 60, console))
                after = asyncio.run(calm(server, before))
                sums = reconcile(scrape(server))
                summary = {
                    "minutes": minutes,
                    "rounds": dict(callers.done),
                    "items": sums,
                    "before": asdict(before),
                    "after": asdict(after),
                    "growth over the second half": round(growth(looks), 4),
                }
                click.echo(json.dumps(summary, indent=2))
                if json_file is not None:
                    json_file.write_text(json.dumps(summary | {"looks": [*map(asdict, looks)]}))
                if picture is not None:
                    pictures.draw_lines(
                        picture,
                        title="Resident memory under mixed load",
                        across=("minutes", [each.seconds / 60 for each in looks]),
                        up="MB",
                        lines={"inkstream": [each.resident_mb for each in looks]},
                        log="",
                    )
                if (grown := growth(looks)) >= GROWTH_AT_MOST:
                    raise Leftovers(f"memory grew by {grown:.1%} over the second half")
            except (Leftovers, Wrong) as leftovers:
                raise click.ClickException(str(leftovers)) from leftovers
    console.print("nothing leaked")


def _name(thread: Path) -> str:
    """Return a thread's name; a thread that ended meanwhile counts as one of the pool's."""
    try:
        return (thread / "comm").read_text().strip()
    except OSError:
        return POOL


async def _warm(callers: Callers) -> None:
    """Run all callers for WARM_SECONDS, so that memory allocated once is there at the first look."""
    calling = asyncio.create_task(callers.run())
    await asyncio.wait([calling], timeout=WARM_SECONDS)
    callers.stop()
    await calling


def _newest(name: Path) -> Path:
    return max(name.iterdir(), key=lambda version: int(version.name))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.soak")
