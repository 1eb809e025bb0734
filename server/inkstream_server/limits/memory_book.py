"""The memory book: an account for each holder, each with a limit, below one account of the process."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

Kind = Literal["messages", "ink", "answers"]
"""What bytes are held for: what came and waits to be computed, pens with their strokes, and what waits to be
sent."""


class Account:
    """The bytes that one holder keeps: a stream, a call, a connection or the process.

    What an account holds, its parent holds, too. Use all accounts of a process in one event loop.
    """

    def __init__(
        self,
        limit: int,
        parent: "Account | None" = None,
        end: Callable[[str], None] | None = None,
    ) -> None:
        """Open an account that holds nothing.

        Args:
            limit: most bytes it should hold.
            parent: the account that it is part of; None for the process.
            end: ends the holder, with the reason as a sentence for its caller; None where it cannot be ended.
        """
        self.limit = limit
        self.parent = parent
        self.end = end
        self.kinds: Counter[Kind] = Counter()
        """Bytes held by kind."""
        self.held = 0
        """Bytes held, of all kinds."""

    def hold(self, kind: Kind, size: int) -> None:
        """Count `size` bytes more; negative where bytes are given back. Never refuses: ask `room` first."""
        account: Account | None = self
        while account is not None:
            account.kinds[kind] += size
            account.held += size
            account = account.parent

    @property
    def room(self) -> int:
        """Bytes that may be held besides, by its own limit and by those of its parents; at least 0."""
        room = self.limit - self.held
        if self.parent is not None:
            room = min(room, self.parent.room)
        return max(0, room)

    def close(self) -> None:
        """Give back all that it holds."""
        for kind, size in [*self.kinds.items()]:
            self.hold(kind, -size)
