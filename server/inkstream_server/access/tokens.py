"""Bearer tokens: how one is made, the file that keeps their digests, and who a token belongs to.

A line of the file: `NAME sha256:DIGEST [streams=N] [items_per_second=N]`. A token is `NAME.SECRET`, so that
its line is found by its name and only one digest is compared, in constant time. The secret has 256 random
bits: one round of SHA-256 is as good as any number, since nobody can guess their way through it.
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

MOST_BYTES = 16 * 1024 * 1024
"""Largest file of tokens that is read: some hundred thousand lines."""

LOOK_SECONDS = 1.0
"""Time between two looks at the file, and so the longest that a revoked token goes on."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LIMIT: Final = re.compile(r"(streams|items_per_second)=([1-9][0-9]{0,8})")
_NOBODY: Final = bytes(32)
"""Compared with where no line has the name, so that a wrong name takes as long as a wrong secret."""


class TokenError(Exception):
    """A file of tokens that cannot be used; the message names the line and what is wanted, no digest."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One line of the file."""

    name: str
    """Who calls, for logs and limits; no secret."""
    digest: bytes = field(repr=False)
    """SHA-256 of the whole token."""
    quota: Quota
    """What the caller may use."""


def make(name: str, quota: Quota) -> tuple[str, str]:
    """Make a token; give it, and the line that is to be stored.

    Raises:
        TokenError: the name has other characters than letters, digits, "-" and "_", or too many.
    """
    if not _NAME.fullmatch(name):
        raise TokenError(f'name: expected 1 to 64 letters, digits, "-" or "_", got {name!r}')
    token = f"{name}.{secrets.token_urlsafe(32)}"
    line = f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    if quota.streams:
        line += f" streams={quota.streams}"
    if quota.items_per_second:
        line += f" items_per_second={quota.items_per_second}"
    return token, line


def read(lines: Iterable[str]) -> dict[str, Grant]:
    """Read the lines of a file of tokens, by name. Empty lines and those that begin with # say nothing.

    Raises:
        TokenError: a line that is none; the message gives its number.
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
            raise TokenError(f"line {number}: a limit of {name!r} stands there twice")
        if name in grants:
            raise TokenError(f"line {number}: the name {name!r} stands there a second time")
        grants[name] = Grant(name, bytes.fromhex(digest.removeprefix("sha256:")), Quota(**values))
    return grants


class Caller:
    """Somebody whose token is known, with what they use of their quota."""

    def __init__(self, grant: Grant, clock: Callable[[], float] = monotonic) -> None:
        """Let them in, with nothing used."""
        self.grant = grant
        self.allowance = Allowance(grant.quota, clock)
        self._on_revoked: dict[object, Callable[[], None]] = {}

    def on_revoked(self, key: object, act: Callable[[], None] | None) -> None:
        """Have something done when the token is no longer good; None takes it back."""
        if act is None:
            self._on_revoked.pop(key, None)
        else:
            self._on_revoked[key] = act

    def revoke(self) -> None:
        """The token is no longer good."""
        for act in [*self._on_revoked.values()]:
            act()


class TokenFile:
    """The callers that a file of tokens lets in; belongs to one event loop."""

    def __init__(self, path: Path, clock: Callable[[], float] = monotonic) -> None:
        """Read the file.

        Args:
            path: the file.
            clock: seconds that pass, for the quotas.

        Raises:
            TokenError: it cannot be read, or a line is none.
        """
        self._path = path
        self._clock = clock
        self._stamp = self._look()
        self._callers = {name: Caller(grant, clock) for name, grant in _read_file(path).items()}

    def caller(self, token: str) -> Caller | None:
        """Give whose token it is; None where it is nobody's."""
        caller = self._callers.get(token.partition(".")[0])
        digest = hashlib.sha256(token.encode()).digest()
        is_theirs = hmac.compare_digest(digest, caller.grant.digest if caller else _NOBODY)
        return caller if is_theirs else None

    async def watch(self) -> None:
        """Look at the file every LOOK_SECONDS, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.refresh()

    def refresh(self) -> None:
        """Read the file again if it has changed. One that cannot be used is logged, and changes nothing.

        Whoever is no longer named, or has another digest, is revoked; other limits hold at once.
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
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise TokenError(
            f"tokens: cannot read {path} ({error.strerror}): it must exist and be readable"
        ) from error
    if len(content) > MOST_BYTES:
        raise TokenError(f"tokens: {path} is larger than {MOST_BYTES} bytes")
    try:
        return read(content.decode().splitlines())
    except (TokenError, UnicodeDecodeError) as error:
        what = "is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise TokenError(f"tokens: {path}: {what}") from error
