"""Lets a method take the fields of an options class as its own arguments.

So names, types and defaults are written once. Type checkers, editors, `inspect.signature` and `help` show
them as arguments of the method, whose docstring explains them.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

_Given = ParamSpec("_Given")
_Options = TypeVar("_Options")
_Owner = TypeVar("_Owner")
_Returned = TypeVar("_Returned")


def takes(
    options: Callable[_Given, _Options],
) -> Callable[
    [Callable[[_Owner, _Options], _Returned]], Callable[Concatenate[_Owner, _Given], _Returned]
]:
    """Decorate a method that expects an object of the class `options`: callers pass its fields instead.

    For a field that does not exist the method raises a TypeError that names the nearest.
    """
    signature = inspect.signature(options)
    hints = get_type_hints(options)

    def decorate(
        method: Callable[[_Owner, _Options], _Returned],
    ) -> Callable[Concatenate[_Owner, _Given], _Returned]:
        @functools.wraps(method)
        def with_options(
            owner: _Owner, /, *args: _Given.args, **kwargs: _Given.kwargs
        ) -> _Returned:
            try:
                chosen = options(*args, **kwargs)
            except TypeError as error:
                name = type(owner).__name__ + f".{method.__name__}".removesuffix(".__init__")
                wrong = str(error).removeprefix(f"{options.__qualname__}.__init__() ")
                raise TypeError(f"{name}: {wrong}{_advice(kwargs, signature.parameters)}") from None
            return method(owner, chosen)

        own = inspect.signature(method)
        owner = next(iter(own.parameters.values()))
        shown: Any = with_options
        shown.__signature__ = own.replace(parameters=[owner, *signature.parameters.values()])
        shown.__annotations__ = {name: hints[name] for name in signature.parameters}
        shown.__annotations__["return"] = own.return_annotation
        return with_options

    return decorate


def _advice(given: Iterable[str], known: Mapping[str, object]) -> str:
    for unknown in (name for name in given if name not in known):
        near = difflib.get_close_matches(unknown, known, n=1)
        return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(known)}"
    return ""
