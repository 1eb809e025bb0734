"""Why a server does not serve. Each message says what would mend it."""


class StartError(Exception):
    """The server cannot start: an address is taken, a model cannot be served, a file not written."""
