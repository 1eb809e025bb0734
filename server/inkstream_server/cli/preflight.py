"""Finds the errors that keep `serve` from starting, without loading a model or opening a port."""

from collections.abc import Callable

from inkstream_server.access.tokens import TokenError, TokenFile
from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.model_store.store import ModelError, find
from inkstream_server.process import descriptors
from inkstream_server.process.hosts import require_own
from inkstream_server.rpc import listener


def preflight_errors(config: Config) -> list[str]:
    """Give the errors with which `serve` would end; empty if it would try to start."""
    checks: list[Callable[[], object]] = [
        lambda: require_own(config.host),
        lambda: listener.credentials_of(config),
        lambda: TokenFile(config.tokens) if config.tokens else None,
        lambda: find(config.model_store, config.model),
    ]
    found = [] if (few := descriptors.error_of(descriptors.least_of(config))) is None else [few]
    for check in checks:
        try:
            check()
        except (StartError, TokenError, ModelError) as error:
            found.append(str(error))
    return found
