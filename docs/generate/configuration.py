"""docs/configuration.md: every setting of the server, from `inkstream_server.config`."""

from dataclasses import Field
from typing import Any

from inkstream_server.config import grouped, variable_of

_OPENING = """\
# Configuration

Generated from `server/inkstream_server/config.py` by `make docs`.

Each setting is a flag of `inkstream-server serve` and an environment variable; the flag wins. To keep
settings in a file, write a file of variables: `EnvironmentFile=` of systemd, `env_file:` of Compose or
`envFrom:` of Kubernetes reads it.

`inkstream-server config` (`--json`) shows every value and where it comes from. Like the log of `serve`, it
names variables that belong to no setting. If `serve` could not start because a model, a file or an address
is missing, it gives the reasons and ends with exit code 1. A value that cannot work stops the start with
an error that names the setting, the value, what is expected and, if a variable set it, the variable.
"""

_CLOSING = """\
## Other variables
| variable | read by | value |
|---|---|---|
| `INKSTREAM_SERVER` | the command `inkstream` | `HOST:PORT`, the default of `--server` |
| `INKSTREAM_TLS_CA` | the command `inkstream` | PEM file, the default of `--tls-ca` |
| `INKSTREAM_TOKEN_FILE` | the command `inkstream` | file, the default of `--token-file` |
| `INKSTREAM_DATA` | training and tests | folder of data sets |
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [_OPENING]
    for heading, members in grouped().items():
        rows = "\n".join(_row(setting) for setting in members)
        parts.append(
            f"## {heading}\n"
            "| flag | variable | default | unit | what it does, and when to change it |\n"
            f"|---|---|---|---|---|\n{rows}\n"
        )
    return "\n".join([*parts, _CLOSING])


def _row(setting: Field[Any]) -> str:
    meta = setting.metadata
    unit = " or ".join(meta["unit"].split("|"))
    if meta["between"]:
        least, most = meta["between"]
        unit += f", {least:,} to {most:,}"
    default: object = setting.default
    if setting.name == "model_store":
        shown = "bundled"
    elif default is None:
        shown = "none"
    elif isinstance(default, bool):
        shown = "on" if default else "off"
    elif isinstance(default, int):
        shown = f"{default:,}" if default > 65535 else str(default)
    else:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    about = meta["help"].replace("<", "&lt;")
    return (
        f"| `--{setting.name.replace('_', '-')}` | `{variable_of(setting)}` | {shown} | {unit} | "
        f"{about} |"
    )
