"""Gives every process a gRPC that works there, and refuses in a forked child what its parent made.

A fork copies gRPC's state but none of its threads, and grpc.aio cannot start again from there: its completion
queue is one for the process, and the thread that polls it is gone. gRPC's own fork handlers make it worse: in
a child of a process that uses grpc.aio they start threads that crash within milliseconds (grpcio 1.85: 23 of
60 children). So this module imports gRPC without these handlers. A child of a process that has used gRPC
loads a second copy of gRPC's native code, which starts afresh and shares nothing with the first; it costs
some 30 ms and 30 MB. So does a process whose `grpc` has the handlers: because it was imported before this
package, or because GRPC_ENABLE_FORK_SUPPORT asks for them. The module `grpc` itself is left alone. A client
with credentials that the program made with `grpc` uses that module, fork handlers included.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from weakref import WeakSet

_HANDLERS = "GRPC_ENABLE_FORK_SUPPORT"
_NATIVE = "grpc._cython.cygrpc"


@contextmanager
def _without_handlers() -> Iterator[None]:
    """Have gRPC, which reads its environment when it is imported, install no fork handlers."""
    before = os.environ.get(_HANDLERS)
    os.environ[_HANDLERS] = "0"
    try:
        yield
    finally:
        del os.environ[_HANDLERS]
        if before is not None:
            os.environ[_HANDLERS] = before


if "grpc" in sys.modules or _HANDLERS in os.environ:
    _has_handlers = os.environ.get(_HANDLERS, "").lower() not in ("0", "f", "false", "n", "no")
    import grpc
    import grpc.aio
else:
    _has_handlers = False
    with _without_handlers():
        import grpc
        import grpc.aio

from inkstream._exceptions import ClientClosed, InvalidRequest, Unsupported  # noqa: E402 - imports gRPC

_log = logging.getLogger("inkstream")
_lock = threading.Lock()
_own: ModuleType | None = None if _has_handlers and sys.platform == "linux" else grpc
"""The gRPC that clients use in this process; None if a copy has to be loaded."""
_is_used = False
"""Whether this process has used gRPC, so that its children cannot use the same."""
_is_grpc_dead = False
"""Whether this is a child of a process that has used `grpc`."""


class Inheritable:
    """Refuses use once it is closed, and in children that are forked from the process that made it."""

    is_closed = False
    is_inherited = False
    """Whether this is such a child."""

    def __init__(self) -> None:
        _made.add(self)

    def disown(self) -> None:
        """In the child: refuse use. Takes no lock: a thread that is gone may have held it."""
        self.is_closed = self.is_inherited = True

    def require_own_process(self) -> None:
        """Raise ClientClosed in a child of the process that made this object."""
        if self.is_inherited:
            raise inherited()

    def require_open(self) -> None:
        """Raise ClientClosed if the client was closed or belongs to the parent process."""
        self.require_own_process()
        if self.is_closed:
            raise ClientClosed("the client is closed: make a new one")


_made: WeakSet[Inheritable] = WeakSet()


def inherited() -> ClientClosed:
    """The error for the use of what a child inherited."""
    return ClientClosed(
        "this client was made before os.fork(), in the parent process: make a new one in the child"
    )


def require_own_process(pid: int) -> None:
    """Raise ClientClosed in a child of the process `pid`."""
    if os.getpid() != pid:
        raise inherited()


def own_grpc(credentials: object = None) -> ModuleType:
    """The module `grpc`, or the copy of it, that clients use in this process.

    Args:
        credentials: credentials that the program made with `grpc`, which no copy takes; None for others.

    Raises:
        InvalidRequest: `grpc` does not work in this process, so neither do the credentials.
        Unsupported: this is a forked child, and the system does not let it load a copy.
    """
    global _own, _is_used  # noqa: PLW0603 - gRPC keeps its state per process, too
    with _lock:
        _is_used = True
        if isinstance(credentials, grpc.ChannelCredentials):
            if _is_grpc_dead:
                raise InvalidRequest(
                    "tls: gRPC's own credentials do not work in a forked child; pass Tls(...) instead"
                )
            return grpc
        if _own is None:
            try:
                _own = _load_copy()
            except (OSError, ImportError, AttributeError) as error:
                if _is_grpc_dead:
                    raise Unsupported(
                        f"gRPC cannot be loaded again in this forked child ({error!r}): start processes with "
                        'multiprocessing.get_context("spawn")'
                    ) from error
                _log.warning(
                    "gRPC cannot be loaded a second time; forked children may crash", exc_info=True
                )
                _own = grpc
        return _own


def rpc_errors() -> tuple[type[grpc.aio.AioRpcError], ...]:
    """What calls raise: the class of `grpc`, and that of the copy."""
    return (grpc.aio.AioRpcError, own_grpc().aio.AioRpcError)


def _load_copy() -> ModuleType:
    native = sys.modules[_NATIVE].__file__
    assert native is not None, "it is an extension module"
    # The loader takes what has the inode or the path of a loaded library for that library. Both are new
    # here: the file is a copy, and stays open, so that a child of this child gets another number.
    file = os.memfd_create("inkstream-grpc")
    with Path(native).open("rb") as original, os.fdopen(file, "wb", closefd=False) as copy:
        shutil.copyfileobj(original, copy, 1 << 20)
    loader = ExtensionFileLoader(_NATIVE, f"/proc/{os.getpid()}/fd/{file}")
    spec = importlib.util.spec_from_loader(_NATIVE, loader)
    finder: Any = SimpleNamespace(find_spec=lambda name, *_: spec if name == _NATIVE else None)
    others = _take_modules()
    sys.meta_path.insert(0, finder)
    try:
        with _without_handlers():
            own = importlib.import_module("grpc")
            importlib.import_module("grpc.aio")
    finally:
        sys.meta_path.remove(finder)
        _take_modules()
        sys.modules.update(others)
    return own


def _take_modules() -> dict[str, ModuleType]:
    """Remove gRPC from the loaded modules, so that the next import loads it; gives what was removed."""
    names = [name for name in sys.modules if name == "grpc" or name.startswith("grpc.")]
    return {name: sys.modules.pop(name) for name in names}


def keep(made_by_parent: object) -> None:
    """Never free an object, not even when the interpreter ends.

    To free a channel or an event loop of the parent would wait for threads that are gone, or change what both
    processes share: an epoll instance.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(made_by_parent))


def _before_fork() -> None:
    global _is_used  # noqa: PLW0603 - see own_grpc
    # Meanwhile another thread may set _is_used, which must not be undone.
    if _has_foreign_threads():
        _is_used = True
    # A child that is forked while a thread loads a copy inherits locks of imports that nobody releases.
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _has_foreign_threads() -> bool:
    """Whether the program uses gRPC beside this package: its threads have names of their own."""
    threads = Path("/proc/self/task")
    try:
        return len({(it / "comm").read_bytes() for it in threads.iterdir()}) > 1
    except OSError:
        # A thread ended meanwhile, or the system is not Linux.
        return threads.exists()


def _after_fork_in_child() -> None:
    global _lock, _own, _is_used, _is_grpc_dead  # noqa: PLW0603 - see own_grpc
    _lock = threading.Lock()
    if _is_used:
        keep(_own)
        _own, _is_used, _is_grpc_dead = None, False, True
    for made in [*_made]:
        keep(made)
        made.disown()
    _made.clear()


if sys.platform != "win32":
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
