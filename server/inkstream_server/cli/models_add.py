"""`inkstream-server models add`: adds a network that somebody trained to a store, and says what was found."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from inkstream_server.errors import shown
from inkstream_server.model_import.sources import SourceError
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store.store import ModelError

if TYPE_CHECKING:
    from inkstream_server.model_import.adding import Added

STORE: Final = Path("models")
"""Folder of models, if none is named. The one in the package would be lost with its next installation."""

_LISTED: Final = 12
"""Most layers that are shown."""


@click.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--name",
    help="Name of the model; it gets the next version of that name. Without it, the name of the file.",
)
@click.option(
    "--model-store",
    "store",
    envvar="INKSTREAM_MODEL_STORE",
    type=click.Path(path_type=Path, file_okay=False),
    default=STORE,
    show_default=True,
    show_envvar=True,
    help="Folder of models; made if it is missing.",
)
@click.option(
    "--calibrate",
    "images",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="IMAGES LABELS",
    help="Two files with images that the network has not learned from and their labels: .npy, .npz or "
    "MNIST's idx files, gzipped or not. They give its accuracy, a temperature that calibrates its "
    "probabilities, and from 1,000 images on the thresholds of rejection.",
)
@click.option(
    "--pixels",
    type=click.Choice(["1", "255"]),
    help="Value of full ink in the images that the network learned from: 1 if they were divided by 255. "
    "Without it, it is told by trying drawn digits.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def add_model(
    file: Path,
    name: str | None,
    store: Path,
    images: tuple[Path, Path] | None,
    pixels: str | None,
    as_json: bool,
) -> None:
    """Add a network of your own, so that servers can serve it.

    FILE is a .keras file of Keras 3 or a .tflite file. The network reads images of 28 x 28 pixels, bright ink
    on black, as (28, 28), (28, 28, 1), (1, 28, 28) or (784,), and ends in ten probabilities or logits. No
    code in the file is run, and it is converted and tried in another process. A server that follows the
    store serves the new version within seconds.

    \b
    Examples:
      inkstream-server models add my-cnn.keras
      inkstream-server models add net.tflite --name digits --model-store /srv/models
      inkstream-server models add my-cnn.keras --calibrate x_test.npy y_test.npy
      inkstream-server models add my-cnn.keras \\
        --calibrate t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz
    """
    # Imported here, because an engine is slow to import, and other commands of `models` need none.
    from inkstream_server.model_import.adding import add

    def step(text: str) -> None:
        click.echo(f"{text} …", err=True)

    try:
        added = add(file, name, store, int(pixels) if pixels else None, images, step)
        served = model_store.find(store, added.folder.parent.name)
    except (SourceError, ModelError) as error:
        click.echo(f"inkstream-server: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(_as_json(added)))
    else:
        for line in _lines(added, file):
            click.echo(line)
    if served != added.folder:
        click.echo(
            f"{shown(served.parent.name)} is pinned to version {shown(served.name)}: `inkstream-server "
            f"models serve {added.label} --model-store {shown(str(store))}` serves the new one",
            err=True,
        )


def _as_json(added: "Added") -> dict[str, Any]:
    found = {key: value for key, value in added.found.items() if key != "sample"}
    return {
        "model": added.label,
        "folder": str(added.folder),
        "source": added.source.about,
        "bytes": added.sizes,
        **found,
    }


def _lines(added: "Added", file: Path) -> list[str]:
    """Say what was found, what it does, where it was written and how to serve it."""
    found, store = added.found, added.folder.parents[1]
    name = added.folder.parent.name
    rows = {
        "input": _input(found),
        "output": "ten logits; the server adds a softmax"
        if found["gives_logits"]
        else "ten probabilities",
        "layers": _layers(found["layers"]),
        "weights": f"{found['weights']:,}" + (", in eight bits" if found["is_quantised"] else ""),
        "files": ", ".join(f"{it} {size / 1e6:.2f} MB" for it, size in added.sizes.items()),
        "drawn digits": _drawn(found),
        **_calibration(found),
        "latency": _latency(found["latency_us"]),
    }
    if found["difference"] is not None:
        rows["parity"] = (
            f"LiteRT's probabilities differ from Keras' by at most {found['difference']:.1g}"
        )
    return [
        f"{shown(file.name)}: {added.source.about}",
        *(f"  {key:13} {value}" for key, value in rows.items()),
        f"written to {added.folder}",
        f"Serve it: inkstream-server serve --model {name} --model-store {store}",
        "A server that runs so already serves it within seconds.",
    ]


def _input(found: dict[str, Any]) -> str:
    sides = ", ".join(map(str, found["shape"]))
    tried = found["accuracy_of_drawn"]
    told = "told by trying drawn digits" if len(tried) > 1 else "as --pixels says"
    return f"({sides}{',' if len(found['shape']) == 1 else ''}), 0 to {found['high']} ({told})"


def _layers(layers: list[str]) -> str:
    more = f" … {len(layers) - _LISTED} more" if len(layers) > _LISTED else ""
    return f"{len(layers)}: " + ", ".join(map(shown, layers[:_LISTED])) + more


def _drawn(found: dict[str, Any]) -> str:
    tried = found["accuracy_of_drawn"]
    others = [
        f"{share:.0%} at 0 to {high}" for high, share in tried.items() if int(high) != found["high"]
    ]
    beside = f", {others[0]}" if others else ""
    return f"reads {tried[str(found['high'])]:.0%} of 400 at 0 to {found['high']}{beside}"


def _calibration(found: dict[str, Any]) -> dict[str, str]:
    given = found["calibration"]
    if given is None:
        return {"accuracy": "not measured: --calibrate IMAGES LABELS gives it"}
    fitted = f"{given['temperature']:g}" if given["images"] >= 100 else "needs 100 images"
    rows = {
        "accuracy": f"{given['accuracy']:.2%} of {given['images']:,} given images",
        "temperature": fitted,
        "rejects": "nothing: thresholds need 1,000 images",
    }
    if rule := given.get("reject"):
        rows["rejects"] = (
            f"below a confidence of {rule['not_a_digit_below']:g} as not a digit, below "
            f"{rule['unsure_below']:g} as unsure: {rule['share']:.1%} of the given images"
        )
    return rows


def _latency(times: dict[str, float]) -> str:
    alone, batch = times["1"], times["64"]
    return f"{alone:.0f} us alone, {batch:.0f} us for 64 ({batch / 64:.1f} us an image), LiteRT, one thread"
