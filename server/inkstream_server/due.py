"""What a stream owes its caller: an answer, an error or a notice that waits for its turn to leave."""

from typing import Protocol

from inkstream_server.answers import Response


class Due(Protocol):
    """One entry of a stream's first-in-first-out."""

    items: int
    """Its weight in the stream's window."""

    def is_complete(self) -> bool:
        """Whether it can be written."""
        ...

    async def ready(self) -> None:
        """Wait until it may be complete. Cancelling harms nothing."""
        ...

    def append(self, response: Response) -> None:
        """Add it to a response, and count it; only when complete."""
        ...

    def withdraw(self) -> None:
        """Give it up: it will never be written."""
        ...
