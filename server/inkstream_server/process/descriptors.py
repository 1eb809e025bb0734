"""Says how many files and connections a process may have open, and divides them.

A process without a free descriptor can accept no connection, load no model and read no file of tokens. So the
limits of connections leave some for the process itself.
"""

import resource
from typing import Final

from inkstream_server import logs
from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.process.http_port import MOST_CONNECTIONS as MOST_PAGES

OWN: Final = 48
"""Descriptors that a process keeps for itself. A server that is ready has 23 open, a worker 26; loading
another model takes some more for a moment."""

LEAST: Final = 64
"""Least limit with which a server starts: its own descriptors, and a few connections."""

LEAST_OF_COMMANDS: Final = 32
"""Least limit for commands that try a model; that takes 16."""

OF_WORKER: Final = 4
"""Descriptors of a supervisor for each worker."""


MOST: Final = 1 << 30
"""Stands for no limit."""


def limit() -> int:
    """Give the number of descriptors that this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft


def for_pages() -> int:
    """Give the most connections to the HTTP pages: a quarter of what is left, and at most `MOST_PAGES`."""
    return max(1, min(MOST_PAGES, (limit() - OWN) // 4))


def for_callers(config: Config) -> int:
    """Give the most connections of gRPC: `max_connections`, or fewer if the descriptors do not suffice."""
    return max(1, min(config.max_connections, limit() - OWN - for_pages()))


def least_of(config: Config) -> int:
    """Give the least limit with which a server starts."""
    return LEAST + (OF_WORKER * config.workers if config.workers > 1 else 0)


def error_of(least: int) -> str | None:
    """Say why a process that needs `least` descriptors cannot have them; None if it can."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= least:
        return None
    return (
        f"open files: this process may open {hard}, and needs at least {least}: raise the limit, for "
        "example with `ulimit -n 20000` or systemd's LimitNOFILE="
    )


def prepare(config: Config) -> None:
    """Raise the soft limit as far as `max_connections` needs it and the hard limit allows.

    Processes that are started later inherit the limit.

    Raises:
        StartError: the hard limit is too low for a server.
    """
    if error := error_of(least_of(config)):
        raise StartError(error)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(config.max_connections + MOST_PAGES + OWN, least_of(config))
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def log_shortage(config: Config) -> None:
    """Log a line if fewer than `max_connections` can be open."""
    if (most := for_callers(config)) < config.max_connections:
        logs.get().warning(
            "few_descriptors",
            limit=limit(),
            max_connections=config.max_connections,
            connections=most,
            hint=f"raise the limit of open files to {config.max_connections + MOST_PAGES + OWN}",
        )
