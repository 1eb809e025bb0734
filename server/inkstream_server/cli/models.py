"""`inkstream-server models`: lists the versions in a store, checks them and says which one is served.

Leaves adding versions to `models_add`.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from inkstream_server.cli.models_add import add_model
from inkstream_server.config import ENGINES, MOST_MODEL_BYTES, Config
from inkstream_server.errors import shown
from inkstream_server.model_store import card as model_card
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store import trial
from inkstream_server.model_store.store import BUNDLED, CARD, ModelError
from inkstream_server.process import descriptors
from inkstream_server.process.files import read_regular


def _store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options `--model-store` and `--json`."""
    store = click.option(
        "--model-store",
        "store",
        envvar="INKSTREAM_MODEL_STORE",
        type=click.Path(path_type=Path, file_okay=False),
        default=BUNDLED,
        show_default="bundled with the package",
        show_envvar=True,
        help="Folder of models, as <name>/<version>/{model.*, card.json}.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
    return store(as_json(command))


_ENGINE = click.option(
    "--engine",
    envvar="INKSTREAM_ENGINE",
    type=click.Choice([*ENGINES]),
    default="litert",
    show_default=True,
    help="Engine that a version must run on.",
)


@click.group()
def models() -> None:
    """Add, list, check and choose the models of a store.

    A server that follows the store (`serve --model NAME`) adopts a change within seconds, without a restart
    and without losing an item.

    \b
    Examples:
      inkstream-server models list
      inkstream-server models add my-cnn.keras
      inkstream-server models verify digits/4
      inkstream-server models rollback digits
    """
    if error := descriptors.error_of(descriptors.LEAST_OF_COMMANDS):
        _fail(error)


models.add_command(add_model)


@models.command("list")
@_store_options
def list_models(store: Path, as_json: bool) -> None:
    """List all versions and show which ones are served.

    \b
    Examples:
      inkstream-server models list
      inkstream-server models list --model-store /srv/models --json
    """
    try:
        rows = [_row(store, folder) for folder in model_store.every_version(store)]
    except ModelError as error:
        _fail(str(error))
    if not rows:
        _fail(f"no model in {store}: expected <name>/<version>/{CARD}")
    if as_json:
        click.echo(json.dumps(rows))
        return
    click.echo(f"{'model':20} {'accuracy':>9} {'created':>11} {'MB':>6}  served")
    for row in rows:
        accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        served = ("pinned" if row["pinned"] else "newest") if row["served"] else ""
        click.echo(
            f"{row['model']:20} {accuracy:>9} {row['created'] or '':>11} {row['bytes'] / 1e6:6.1f}  "
            f"{served}".rstrip()
        )


@models.command()
@click.argument("wanted", nargs=-1, metavar="[NAME[/VERSION]]...")
@_ENGINE
@_store_options
def verify(wanted: tuple[str, ...], engine: str, store: Path, as_json: bool) -> None:
    """Check that versions can be served.

    Checks the versions that are named, or all. Compares each file with the card's SHA-256, checks the shape
    of the network, and compares its answers to a built-in sample with those in the card, if it records any.
    Each version is tried in a process of its own, because a damaged file can crash an engine. The exit code
    is 1 if a version is not sound.

    \b
    Examples:
      inkstream-server models verify
      inkstream-server models verify digits/4 --engine keras
    """
    try:
        named = (model_store.find(store, it) for it in wanted)
        folders = [*(named if wanted else model_store.every_version(store))]
    except ModelError as error:
        _fail(str(error))
    problems = {_label(folder): _problem(folder, engine) for folder in folders}
    if as_json:
        rows = [{"model": label, "problem": problem} for label, problem in problems.items()]
        click.echo(json.dumps(rows))
    else:
        for label, problem in problems.items():
            click.echo(f"{label:20} {problem or 'sound'}")
    if any(problems.values()) or not problems:
        sys.exit(1)


@models.command()
@click.argument("wanted", metavar="NAME[/VERSION]")
@_ENGINE
@_store_options
def serve(wanted: str, engine: str, store: Path, as_json: bool) -> None:
    """Choose the version that servers serve.

    Pins VERSION, even if there is a newer one. Without VERSION, removes the pin, so that the newest version
    is served again. A version that is not sound is refused. A server that was started with a version of its
    own (`serve --model NAME/VERSION`) keeps it.

    \b
    Examples:
      inkstream-server models serve digits/1
      inkstream-server models serve digits
    """
    name, _, version = wanted.partition("/")
    _switch(store, name, version or None, engine, as_json)


@models.command()
@click.argument("name", default="digits", metavar="[NAME]")
@_ENGINE
@_store_options
def rollback(name: str, engine: str, store: Path, as_json: bool) -> None:
    """Go back to the version before the one that is served.

    Pins that version. `models serve NAME` removes the pin.

    \b
    Examples:
      inkstream-server models rollback
      inkstream-server models rollback digits --model-store /srv/models
    """
    try:
        served = model_store.order(model_store.find(store, name).name)
    except ModelError as error:
        _fail(str(error))
    older = [
        it.name for it in model_store.versions(store, name) if model_store.order(it.name) < served
    ]
    if not older:
        _fail(f"{name}: there is no version before the one that is served; `models list` shows all")
    _switch(store, name, older[-1], engine, as_json)


def _switch(store: Path, name: str, version: str | None, engine: str, as_json: bool) -> None:
    """Pin a sound version, or remove the pin, and print what is served now."""
    try:
        if version is not None:
            folder = model_store.find(store, f"{name}/{version}")
            if (problem := _problem(folder, engine)) is not None:
                _fail(f"{name}/{version} is not sound: {problem}")
        model_store.pin(store, name, version)
        served = _label(model_store.find(store, name))
    except ModelError as error:
        _fail(str(error))
    if as_json:
        click.echo(json.dumps({"model": served, "pinned": version is not None}))
    else:
        click.echo(f"{served} is served ({'the newest' if version is None else 'pinned'})")
    if store == BUNDLED:
        click.echo(
            "This store came with the package and is replaced when the package is installed again. To keep "
            "changes, copy it and use the copy as --model-store, here and for servers.",
            err=True,
        )


def _row(store: Path, folder: Path) -> dict[str, Any]:
    """Describe a version by its folder and its card, or by the folder alone if the card is unreadable."""
    name = folder.parent.name
    row: dict[str, Any] = {"model": _label(folder), "accuracy": None, "created": None}
    try:
        card = model_card.parse(model_card.read(folder))
        created = shown(str(card["created"]))
        row |= {"accuracy": float(card["metrics"]["accuracy"]), "created": created}
    except (OSError, ValueError, KeyError, TypeError):
        pass  # `models verify` reports what is wrong with the card.
    row["bytes"] = sum(size for _, size, _ in model_store.files_of(folder))
    try:
        row["served"] = folder == model_store.find(store, name)
        row["pinned"] = folder.name == model_store.pinned_version(store, name)
    except ModelError:  # The pin names a version that does not exist, so that none can be served.
        row["served"] = row["pinned"] = False
    return row


def _problem(folder: Path, engine: str) -> str | None:
    """Give the reason why a version is not sound; None if it is sound."""
    try:
        asyncio.run(trial.attempt(folder, engine, Config().model_timeout))
        card = model_card.parse(model_card.read(folder))
        for file, expected in model_card.digests(card).items():
            content = read_regular(folder / file, MOST_MODEL_BYTES)
            if hashlib.sha256(content).hexdigest() != expected:
                return f"{shown(file)}: its sha256 differs from the card's: export the model again"
    except (ModelError, ValueError) as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}: export the model again"
    return None


def _label(folder: Path) -> str:
    return shown(f"{folder.parent.name}/{folder.name}")


def _fail(message: str) -> NoReturn:
    click.echo(f"inkstream-server: {message}", err=True)
    sys.exit(1)
