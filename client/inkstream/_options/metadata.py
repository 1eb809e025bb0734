"""Checks the metadata that goes out with every call, and the token in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from inkstream._exceptions import InvalidRequest

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Pairs of a key and a value, for example `(("x-tenant", "school-7"),)`. Values are printable ASCII, or
bytes where the key ends in "-bin"."""

_WANTED = 'metadata: expected pairs such as (("x-tenant", "school-7"),)'
_KEY = re.compile(r"[0-9a-z_.-]+")


def metadata_of(pairs: Iterable[tuple[str, str | bytes]]) -> tuple[tuple[str, str | bytes], ...]:
    """Give pairs as gRPC takes them, with keys in lower case.

    Raises:
        InvalidRequest: they are no pairs, or hold characters that a header must not. The message shows no
            value, as it may be a secret.
    """
    if isinstance(pairs, str | bytes | Mapping) or not isinstance(pairs, Iterable):
        advice = "; pass tuple(metadata.items())" if isinstance(pairs, Mapping) else ""
        raise InvalidRequest(f"{_WANTED}, got {type(pairs).__name__}{advice}")
    return tuple([_pair(pair) for pair in pairs])


def _pair(pair: Any) -> tuple[str, str | bytes]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InvalidRequest(f"{_WANTED}, got {type(pair).__name__} in place of a pair")
    key, value = pair
    if not isinstance(key, str) or not _KEY.fullmatch(key.lower()):
        raise InvalidRequest(
            f"metadata: expected keys of ASCII letters, digits, '_', '-' and '.', got {key!r}"
        )
    key = key.lower()
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise InvalidRequest(f"metadata[{key!r}]: expected bytes, as the key ends in -bin")
    elif not _is_printable(value):
        raise InvalidRequest(
            f"metadata[{key!r}]: expected printable ASCII; a key that ends in -bin takes any bytes"
        )
    return key, value


def _is_printable(value: Any) -> bool:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return isinstance(value, str) and value.isascii() and value.isprintable()


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Give the metadata that carries a token, without space around it; none for "".

    Raises:
        InvalidRequest: it holds characters that a token must not. The message does not show it.
    """
    if not isinstance(token, str):
        raise InvalidRequest(f"token: expected a str, got {type(token).__name__}")
    if not token:
        return ()
    bare = token.strip()
    if not (bare and bare.isascii() and bare.isprintable() and " " not in bare):
        raise InvalidRequest("token: expected printable ASCII without spaces or line ends within")
    return (("authorization", f"Bearer {bare}"),)
