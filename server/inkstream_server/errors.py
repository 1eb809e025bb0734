"""Why a server does not serve, or no longer does. Each message says what would mend it."""


class ServeError(Exception):
    """The server cannot go on; its process ends with exit code 1 and this message."""


class StartError(ServeError):
    """The server cannot start: an address is taken, a model cannot be served, a file not written."""


class WorkersFailed(ServeError):
    """A worker died again and again, and starting it once more would not help."""
