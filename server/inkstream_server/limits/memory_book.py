"""The memory book: an account for each holder, each with a limit, below one account of the process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, get_args
from weakref import WeakValueDictionary

Kind = Literal["messages", "ink", "answers"]
"""What bytes are held for: what came and waits to be computed, pens with their strokes, and what waits to be
sent."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""Every kind."""

USABLE: Final = 0.375
"""Part of an account from which on its holder takes in no more. By default 3 of a stream's 8 MiB: a message
of 4 MiB may come next, and gRPC reads 1 MiB ahead (`rpc.listener.LOOKAHEAD_BYTES`)."""

UNLIMITED: Final = 2**62
"""A limit that is never reached."""


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
        self.kinds: dict[Kind, int] = dict.fromkeys(KINDS, 0)
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
    def usable(self) -> int:
        """Bytes held from which on it is crowded, and that ink alone may take."""
        return int(USABLE * self.limit)

    @property
    def is_crowded(self) -> bool:
        """Whether its holder should take in no more until it has given something back.

        That is from a part of its own limit on, see `USABLE`. Of its parents' limits all may be used.
        """
        if self.held >= USABLE * self.limit:
            return True
        account = self.parent
        while account is not None:
            if account.held >= account.limit:
                return True
            account = account.parent
        return False

    @property
    def room(self) -> int:
        """Bytes that may be held besides, by its own limit and by those of its parents; at least 0."""
        room = self.limit - self.held
        if self.parent is not None:
            room = min(room, self.parent.room)
        return max(0, room)

    def close(self) -> None:
        """Give back all that it holds, and belong to its parent no longer."""
        for kind, size in [*self.kinds.items()]:
            self.hold(kind, -size)
        self.parent = None
        self.end = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimits:
    """Most bytes that holders should hold."""

    process: int = UNLIMITED
    """All of them together."""
    connection: int = UNLIMITED
    """All streams and calls of one connection."""
    stream: int = 8 * 2**20
    """One stream or call."""


class MemoryBook:
    """The accounts of a process. Those of a connection come and go with its streams and calls."""

    def __init__(self, limits: MemoryLimits | None = None) -> None:
        """Start with nothing held.

        Args:
            limits: most bytes that each may hold; None for the defaults.
        """
        self._limits = limits or MemoryLimits()
        self._connections: WeakValueDictionary[str, Account] = WeakValueDictionary()
        self.process = Account(self._limits.process)
        """What all hold together."""
        self.holders: set[Account] = set()
        """The accounts of all streams and calls."""
        self.is_short = False
        """Whether the process takes more than its limit, so that new streams and calls should be refused."""
        self.refused = 0
        """Streams and calls that were refused for that."""

    def refuses(self) -> bool:
        """Give whether a new stream or call should be refused, and count it if so."""
        self.refused += self.is_short
        return self.is_short

    @contextmanager
    def account(self, peer: str, end: Callable[[str], None] | None = None) -> Iterator[Account]:
        """Keep an account for one stream or call of a connection.

        Args:
            peer: names the connection, as gRPC does.
            end: see `Account`.
        """
        connection = self._connections.get(peer)
        if connection is None:
            connection = Account(self._limits.connection, self.process)
            self._connections[peer] = connection
        account = Account(self._limits.stream, connection, end)
        self.holders.add(account)
        try:
            yield account
        finally:
            self.holders.discard(account)
            account.close()
