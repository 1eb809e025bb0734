"""Bearer tokens: makes one, reads the file of their digests, and says whose a token is.

A line of the file is `NAME sha256:DIGEST` and any of `streams=N`, `items_per_second=N`, `events_per_second=N`
and `points_per_second=N`. A token is `NAME.SECRET`, so that its line is found by name and only one digest is
compared, in constant time. One round of SHA-256 is enough, because the secret has 256 random bits and cannot
be guessed.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from inkstream_server import logs
from inkstream_server.access.allowance import Allowance, Quota
from inkstream_server.errors import shown
from inkstream_server.process.files import aside, read_regular

MOST_BYTES = 16 * 1024 * 1024
"""Largest file of tokens: some hundred thousand lines."""

LOOK_SECONDS = 1.0
"""Time between two looks at the file. A change is taken at the second look that finds it, so a revoked token
still works for up to twice this time."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LIMIT: Final = re.compile(
    r"(streams|items_per_second|events_per_second|points_per_second)=([1-9][0-9]{0,8})"
)
_NO_DIGEST: Final = bytes(32)
"""Compared with if no line has the name, so that a wrong name takes as long as a wrong secret."""


class TokenError(Exception):
    """A file of tokens cannot be used; the message names the line and what is expected, and no digest."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One line of the file."""

    name: str
    """Name of the caller, for logs and limits; not secret."""
    digest: bytes = field(repr=False)
    """SHA-256 of the whole token."""
    quota: Quota
    """Limits of the caller."""


def make(name: str, quota: Quota) -> tuple[str, str]:
    """Make a token; gives the token and its line for the file.

    Raises:
        TokenError: the name has other characters than letters, digits, "-" and "_", or is too long.
    """
    if not _NAME.fullmatch(name):
        raise TokenError(f'name: expected 1 to 64 letters, digits, "-" or "_", got "{shown(name)}"')
    token = f"{name}.{secrets.token_urlsafe(32)}"
    line = f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    for limit, value in asdict(quota).items():
        if value:
            line += f" {limit}={value}"
    return token, line


def read(lines: Iterable[str]) -> dict[str, Grant]:
    """Read the lines of a file of tokens; gives the grants by name. Skips empty lines and comments (#).

    Raises:
        TokenError: a line is wrong; the message gives its number.
    """
    grants: dict[str, Grant] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name, digest, *limits = words if len(words) > 1 else (words[0], "")
        found = [_LIMIT.fullmatch(limit) for limit in limits]
        if not (_NAME.fullmatch(name) and _DIGEST.fullmatch(digest) and all(found)):
            raise TokenError(
                f"line {number}: expected NAME sha256:DIGEST [streams=N] [items_per_second=N] "
                "[events_per_second=N] [points_per_second=N], as `inkstream-server token` prints it"
            )
        values = {limit[1]: int(limit[2]) for limit in found if limit}
        if len(values) < len(limits):
            raise TokenError(f"line {number}: a limit of '{name}' appears twice: remove one")
        if name in grants:
            raise TokenError(f"line {number}: the name '{name}' appears twice: remove one line")
        grants[name] = Grant(name, bytes.fromhex(digest.removeprefix("sha256:")), Quota(**values))
    return grants


class Caller:
    """The owner of a token, and what is left of its quota."""

    def __init__(self, grant: Grant, clock: Callable[[], float] = monotonic) -> None:
        """Start with nothing used."""
        self.grant = grant
        self.allowance = Allowance(grant.quota, clock)
        self._on_revoked: dict[object, Callable[[], None]] = {}

    def on_revoked(self, key: object, act: Callable[[], None] | None) -> None:
        """Call `act` when the token is revoked; None removes the call registered under `key`."""
        if act is None:
            self._on_revoked.pop(key, None)
        else:
            self._on_revoked[key] = act

    def revoke(self) -> None:
        """Run the registered calls, because the token is no longer valid."""
        for act in [*self._on_revoked.values()]:
            act()


class TokenFile:
    """The callers in a file of tokens. Use it in one event loop.

    Takes a change when two looks in a row find the same content and state: what is half written at one look,
    by an editor or a redirect, is whole or different at the next. As each process sees a change at its first
    look, no process is settled any more when another one takes it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = monotonic) -> None:
        """Read the file.

        Args:
            path: the file.
            clock: gives the time in seconds, for the quotas.

        Raises:
            TokenError: the file cannot be read, a line is wrong, or there is none.
        """
        self._path = path
        self._clock = clock
        self._taken: _Stamp | None = None
        self._waiting: _Look | None = _look(path, None)
        self._reason: str | None = None
        self._callers: dict[str, Caller] = {}
        self._callers = self._changes(self._waiting).callers

    @property
    def is_settled(self) -> bool:
        """Whether the last look found the file that is in use.

        If not, a token that is not valid now may be valid after some more looks.
        """
        return self._waiting is None and self._reason is None

    @property
    def is_refused(self) -> bool:
        """Whether the file cannot be used as it is, so that the tokens before it stay valid."""
        return self._reason is not None

    def caller(self, token: str) -> Caller | None:
        """Give the owner of a token; None if it is not valid."""
        caller = self._callers.get(token.partition(".")[0])
        digest = hashlib.sha256(token.encode()).digest()
        is_valid = hmac.compare_digest(digest, caller.grant.digest if caller else _NO_DIGEST)
        return caller if is_valid else None

    async def watch(self) -> None:
        """Look at the file every `LOOK_SECONDS` until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look at the file once, and take a change that was there at the last look, too.

        A token that is gone or has another digest is then revoked, and new limits hold. A file that cannot be
        used, or holds no token, is logged once and changes nothing. May be cancelled.
        """
        found = await aside(_look, self._path, self._taken)
        if found.is_taken:
            self._waiting = None
        elif found != self._waiting:
            self._waiting = found
        else:
            await self._take(found)
            self._waiting = None

    async def _take(self, found: "_Look") -> None:
        try:
            changes = await aside(self._changes, found)
        except TokenError as error:
            if str(error) != self._reason:  # Logged once, not at every look.
                self._reason = str(error)
                logs.get().error("tokens kept", reason=self._reason)
            return
        self._taken, self._reason, self._callers = found.stamp, None, changes.callers
        for caller, grant in changes.changed:
            caller.grant = grant
            caller.allowance.change(grant.quota)
        for caller in changes.revoked:
            caller.revoke()
        if changes.is_any:
            logs.get().info(
                "tokens read", tokens=len(changes.callers), revoked=len(changes.revoked)
            )

    def _changes(self, found: "_Look") -> "_Changes":
        """Compare a file with the callers in use. Takes a second for the largest file.

        Raises:
            TokenError: the file cannot be used; see `__init__`.
        """
        grants = _read_file(self._path, found)
        changes = _Changes()
        for name, grant in grants.items():
            before = self._callers.get(name)
            if before is None or before.grant.digest != grant.digest:
                changes.callers[name] = Caller(grant, self._clock)
                changes.added += 1
                continue
            changes.callers[name] = before
            if before.grant != grant:
                changes.changed.append((before, grant))
        changes.revoked = [
            caller
            for name, caller in self._callers.items()
            if changes.callers.get(name) is not caller
        ]
        return changes


_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at the file found."""

    stamp: _Stamp | None
    """State of the file; None if it is missing."""
    is_taken: bool = False
    """Whether the file has the state that is in use, and was not read again."""
    content: bytes = b""
    problem: str | None = None
    """Why it cannot be read; None if it can."""


@dataclass(slots=True)
class _Changes:
    """How a file differs from the callers in use."""

    callers: dict[str, Caller] = field(default_factory=dict)
    """All callers from now on."""
    added: int = 0
    changed: list[tuple[Caller, Grant]] = field(default_factory=list)
    revoked: list[Caller] = field(default_factory=list)

    @property
    def is_any(self) -> bool:
        return bool(self.added or self.changed or self.revoked)


def _look(path: Path, taken: _Stamp | None) -> _Look:
    """Read the file, unless it has the state `taken`."""
    stamp = None
    try:
        state = path.stat()
        stamp = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if stamp == taken:
            return _Look(stamp, is_taken=True)
        return _Look(stamp, content=read_regular(path, MOST_BYTES))
    except OSError as error:
        return _Look(stamp, problem=error.strerror)


def _read_file(path: Path, found: _Look) -> dict[str, Grant]:
    """Read the grants in a file.

    Raises:
        TokenError: see `TokenFile`.
    """
    if found.problem is not None:
        raise TokenError(
            f"tokens: cannot read {path} ({found.problem}): it must exist and be readable"
        )
    try:
        grants = read(found.content.decode().splitlines())
    except (TokenError, UnicodeDecodeError) as error:
        what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise TokenError(f"tokens: {path}: {what}") from error
    if not grants:
        raise TokenError(
            f"tokens: {path} holds no token: add a line that `inkstream-server token` prints; to refuse "
            "all callers, add one that nobody has"
        )
    return grants
