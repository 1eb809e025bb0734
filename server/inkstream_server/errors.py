"""The errors that end a server. Each message says what to change."""


class ServeError(Exception):
    """The server cannot continue; its process ends with exit code 1 and this message."""


class StartError(ServeError):
    """The server cannot start: an address is taken, a model cannot be served, a file cannot be written."""


class WorkersFailed(ServeError):
    """A worker died too often in a row to be restarted once more."""
