"""What `serve` would refuse, as far as it can be known without loading a model or taking a port."""

from collections.abc import Callable

from inkstream_server.access.tokens import TokenError, TokenFile
from inkstream_server.config import Config
from inkstream_server.errors import StartError
from inkstream_server.model_store.store import ModelError, find
from inkstream_server.process.hosts import require_own
from inkstream_server.rpc import listener


def refusals(config: Config) -> list[str]:
    """Give the reasons, each as `serve` would say it; none where it would try to start."""
    checks: list[Callable[[], object]] = [
        lambda: require_own(config.host),
        lambda: listener.credentials_of(config),
        lambda: TokenFile(config.tokens) if config.tokens else None,
        lambda: find(config.model_store, config.model),
    ]
    found = []
    for check in checks:
        try:
            check()
        except (StartError, TokenError, ModelError) as error:
            found.append(str(error))
    return found
