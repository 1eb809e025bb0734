"""The command `inkstream-train`: runs `produce` and `evaluate`, and prints their results.

Progress goes to stderr, results to stdout. Exit codes: 0 done; 1 a figure differs from the card; 2 wrong
usage, or data is missing; 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from inkstream.mnist import DatasetUnavailable
from inkstream_stdout import end_if_full
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from inkstream_training import __version__
from inkstream_training.quiet import quiet
from inkstream_training.recipes import RECIPES, Recipe
from inkstream_training.tables import print_card, print_evaluation

if TYPE_CHECKING:
    from inkstream_training.card import Card
    from inkstream_training.train import Epoch

__all__ = ["main"]

_FOLDER = click.Path(file_okay=False, path_type=Path)
_MNIST = click.option(
    "--mnist",
    "mnist_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the four MNIST files. Without it the command uses $INKSTREAM_DATA/mnist, the cache or a "
    "download.",
)
_INK = click.option(
    "--data",
    "ink_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of pen ink and letters: pendigits/, unipen/, uji/, emnist_letters/. Without it the command "
    "uses $INKSTREAM_DATA.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


class _Main(click.Group):
    """Ends like the commands of the client, also on Ctrl-C and on a full disk."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            end_if_full(error, "inkstream-train")
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # Click would exit with 1, which means that a figure differs from the card.
            click.echo("Interrupted.", err=True)
            ctx.exit(130)


@click.group(
    cls=_Main,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 a figure differs from the card; 2 wrong usage, or data is missing; "
    "130 interrupted.",
)
@click.version_option(__version__, prog_name="inkstream-train")
def main() -> None:
    """Train digit models, and check them against their cards.

    \b
    Examples:
      inkstream-train train --recipe plain --seed 1
      inkstream-train evaluate models/digits-plain/1
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _seeds(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        seeds = tuple(int(seed) for seed in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers separated by commas, got {value!r}") from None
    if not all(0 <= seed < 2**31 for seed in seeds) or len(set(seeds)) != len(seeds):
        raise click.BadParameter(f"expected numbers from 0 to 2147483647, each once, got {value!r}")
    return seeds


@main.command()
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    default="augmented",
    show_default=True,
    help="Recipe to train.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Train only this seed.")
@click.option("--seeds", callback=_seeds, help="Train these seeds, such as 1,2,3, and export one.")
@click.option(
    "--epochs", type=click.IntRange(1), help="Number of epochs. Without it the recipe decides."
)
@click.option(
    "--out", type=_FOLDER, default=Path("models"), show_default=True, help="Folder for models."
)
@click.option(
    "--model-version", help="Name of the version's folder. Without it the recipe decides."
)
@click.option("--force", is_flag=True, help="Replace an existing model.")
@click.option(
    "--runs",
    type=_FOLDER,
    help="Folder that keeps each finished seed. A training that was interrupted then goes on after it.",
)
@_MNIST
@_INK
@_JSON
def train(
    *,
    recipe: str,
    seed: int | None,
    seeds: tuple[int, ...] | None,
    epochs: int | None,
    out: Path,
    model_version: str | None,
    force: bool,
    runs: Path | None,
    mnist_folder: Path | None,
    ink_folder: Path | None,
    as_json: bool,
) -> None:
    """Train a recipe, and export the model with its card.

    The files are OUT/NAME/VERSION/model.keras, model.tflite and card.json, and for a recipe with a second
    network, for strokes, strokes.keras and strokes.tflite.

    \b
    Examples:
      inkstream-train train --recipe plain --seed 1
      inkstream-train train --recipe augmented --seeds 1,2,3 --out models
      inkstream-train train --recipe ink --out models --runs runs
      inkstream-train train --recipe augmented --seed 7 --epochs 20 --json
    """
    if seed is not None and seeds is not None:
        raise click.UsageError("--seed and --seeds: give one of them")
    chosen = RECIPES[recipe]
    version = chosen.version if model_version is None else model_version
    if not version.strip() or Path(version).name != version:
        raise click.BadParameter(
            f"expected a plain folder name, got {version!r}", param_hint="--model-version"
        )
    if epochs is not None:
        chosen = dataclasses.replace(chosen, epochs=epochs)
    wanted = (seed,) if seed is not None else seeds or chosen.seeds
    folder = out / chosen.model_name / version
    if folder.exists() and not force:
        _fail(f"{folder}: a model exists already; choose another --model-version, or add --force")
    card = _produce(chosen, wanted, folder, version, mnist_folder, ink_folder, runs)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "card": card.to_json()}, indent=2))
    else:
        print_card(card, folder)


def _produce(
    recipe: Recipe,
    seeds: tuple[int, ...],
    folder: Path,
    version: str,
    mnist_folder: Path | None,
    ink_folder: Path | None,
    runs: Path | None,
) -> Card:
    """Train into a temporary folder beside the target, and move it when all is written."""
    with quiet():  # Imported late, so that --help is fast.
        from inkstream_training.export import ExportError
        from inkstream_training.produce import produce

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}{task.fields[of]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
    )
    bars: dict[str, Any] = {}

    def show(network: str, seed: int, epoch: Epoch) -> None:
        of = recipe.strokes if network == "strokes" and recipe.strokes else recipe
        name = f"{network}, seed {seed}"
        if name not in bars:
            bars[name] = progress.add_task(
                name, total=of.epochs, of=f"/{of.epochs} epochs", state=""
            )
        held = epoch.validation_accuracy
        state = f"loss {epoch.loss:.4f}" + ("" if held is None else f", held out {held:.2%}")
        progress.update(bars[name], completed=epoch.number, state=state)

    def drawn(glyphs: int) -> None:
        if "ink" not in bars:
            bars["ink"] = progress.add_task("drawing ink", total=None, of=" glyphs", state="")
        progress.advance(bars["ink"], glyphs)

    partial = folder.with_name(folder.name + ".partial")
    try:
        with progress:
            card = produce(
                recipe,
                seeds,
                partial,
                version,
                mnist_folder=mnist_folder,
                ink_folder=ink_folder,
                runs=runs,
                on_epoch=show,
                on_glyphs=drawn,
            )
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    except (DatasetUnavailable, ExportError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or folder}: {error.strerror or error}; choose another --out")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return card


@main.command()
@click.argument("model", type=_FOLDER, required=False)
@click.option(
    "--plots",
    type=_FOLDER,
    help="Folder for pictures of learning, confusion, reliability, coverage and mistakes.",
)
@_MNIST
@_INK
@_JSON
def evaluate(
    model: Path | None,
    plots: Path | None,
    mnist_folder: Path | None,
    ink_folder: Path | None,
    as_json: bool,
) -> None:
    """Measure every figure of a model's card again.

    MODEL is the folder of a version; without it the command takes the model
    that comes with the server. It measures on MNIST's test images and held-out ink, and exits with 1 if a
    figure differs from the card.

    \b
    Examples:
      inkstream-train evaluate
      inkstream-train evaluate models/digits-plain/1 --plots plots
      inkstream-train evaluate --json | jq .agrees
    """
    with quiet():
        from inkstream_training import evaluate as evaluation_module
        from inkstream_training.card import CardError

    try:
        found = evaluation_module.evaluate(
            model or evaluation_module.DEFAULT_MODEL, mnist_folder, ink_folder
        )
    except (DatasetUnavailable, CardError, OSError, ValueError) as error:
        _fail(str(error))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        print_evaluation(found)
    if plots is not None:
        from inkstream_training.pictures import draw_all

        for path in draw_all(found, plots):
            click.echo(f"picture: {path}", err=True)
    if not found.agrees:
        differing = ", ".join(figure.name for figure in found.figures if not figure.agrees)
        click.echo(
            f"error: the card does not describe these files: {differing} differ; "
            f"export the model again, or take card and files from the same export",
            err=True,
        )
        raise SystemExit(1)


@main.command()
@click.argument("model", type=_FOLDER, required=False)
@_INK
def stability(model: Path | None, ink_folder: Path | None) -> None:
    """Learn how likely early answers to ink are to last.

    The command learns from the validation writers and prints the tables of
    inkstream_server/pens/stability.py. It prints their error on held-out writers to stderr. MODEL is the
    folder of a version; without it the command takes the model that comes with the server.

    \b
    Example:
      inkstream-train stability models/digits/4
    """
    with quiet():
        from inkstream_training.card import Card
        from inkstream_training.evaluate import DEFAULT_MODEL
        from inkstream_training.ink import sources
        from inkstream_training.ink.stability import expected_error, fit, observe, stabilities
        from inkstream_training.readers import reader_of

    try:
        files = sources.load(ink_folder)
        glyphs = [glyph for of_file in files.values() for glyph in of_file]
        folder = model or DEFAULT_MODEL
        read = reader_of(folder, Card.read(folder / "card.json"))
        tables = fit(observe(glyphs, "validation", read))
        held_out = observe(glyphs, "test", read)
    except (DatasetUnavailable, OSError, ValueError) as error:
        _fail(str(error))
    for state, table in tables.items():
        click.echo(f'    "{state}": (')
        for row in table:
            click.echo("        (" + ", ".join(f"{value:.2f}" for value in row) + "),")
        click.echo("    ),")
        cuts = held_out[state]
        off = expected_error(stabilities(tables, state, cuts), cuts)
        click.echo(
            f"{state}: {len(cuts.lasted)} held-out answers, {cuts.lasted.mean():.1%} last; "
            f"expected error {off:.1%}, with confidence instead "
            f"{expected_error(cuts.confidences, cuts):.1%}",
            err=True,
        )


def _fail(message: str) -> Any:
    click.echo(f"error: {message}", err=True)
    raise SystemExit(2)
