"""Bearer tokens: makes one, reads the file of their digests, and says whose a token is.

A line of the file is `NAME sha256:DIGEST [streams=N] [items_per_second=N]`. A token is `NAME.SECRET`, so that
its line is found by name and only one digest is compared, in constant time. One round of SHA-256 is enough,
because the secret has 256 random bits and cannot be guessed.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from inkstream_server import logs
from inkstream_server.access.allowance import Allowance, Quota
from inkstream_server.errors import shown
from inkstream_server.process.files import read_regular

MOST_BYTES = 16 * 1024 * 1024
"""Largest file of tokens: some hundred thousand lines."""

LOOK_SECONDS = 1.0
"""Time between two looks at the file, and so the longest time that a revoked token still works."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LIMIT: Final = re.compile(r"(streams|items_per_second)=([1-9][0-9]{0,8})")
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
    if quota.streams:
        line += f" streams={quota.streams}"
    if quota.items_per_second:
        line += f" items_per_second={quota.items_per_second}"
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
                f"line {number}: expected NAME sha256:DIGEST [streams=N] [items_per_second=N], "
                "as `inkstream-server token` prints it"
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
    """The callers in a file of tokens. Use it in one event loop."""

    def __init__(self, path: Path, clock: Callable[[], float] = monotonic) -> None:
        """Read the file.

        Args:
            path: the file.
            clock: gives the time in seconds, for the quotas.

        Raises:
            TokenError: the file cannot be read, or a line is wrong.
        """
        self._path = path
        self._clock = clock
        self._stamp = self._look()
        self._callers = {name: Caller(grant, clock) for name, grant in _read_file(path).items()}

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
            self.refresh()

    def refresh(self) -> None:
        """Read the file again if it has changed. A file that cannot be used is logged and changes nothing.

        A token that is gone or has another digest is revoked. New limits hold at once.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            grants = _read_file(self._path)
        except TokenError as error:
            logs.get().error("tokens kept", reason=str(error))
            return
        revoked = []
        callers = {}
        for name, grant in grants.items():
            before = self._callers.get(name)
            if before is not None and before.grant.digest == grant.digest:
                before.grant = grant
                before.allowance.change(grant.quota)
                callers[name] = before
            else:
                callers[name] = Caller(grant, self._clock)
        before_all, self._callers = self._callers, callers
        for name, caller in before_all.items():
            if callers.get(name) is not caller:
                revoked.append(name)
                caller.revoke()
        logs.get().info("tokens read", tokens=len(callers), revoked=len(revoked))

    def _look(self) -> tuple[int, int, int] | None:
        try:
            state = self._path.stat()
        except OSError:
            return None
        return state.st_ino, state.st_size, state.st_mtime_ns


def _read_file(path: Path) -> dict[str, Grant]:
    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise TokenError(
            f"tokens: cannot read {path} ({error.strerror}): it must exist and be readable"
        ) from error
    try:
        return read(content.decode().splitlines())
    except (TokenError, UnicodeDecodeError) as error:
        what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise TokenError(f"tokens: {path}: {what}") from error
