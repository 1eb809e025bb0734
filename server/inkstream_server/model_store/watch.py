"""Keeps a server on the model that its store says: looks now and then, tries in another process, swaps.

The store is looked at rather than listened to: what a kernel tells of changes does not reach over network
file systems nor always into containers, and a few names and times every two seconds cost nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from inkstream_server import logs
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store import trial
from inkstream_server.model_store.store import Model, ModelError

Candidate = tuple[Path, tuple[tuple[str, int, int], ...]]
"""A version's folder, and each file's name, size and time of change: when one of them changes, a version that
was refused is tried again."""

Attempt = Callable[[Path, str, float], Awaitable[str]]
"""Tries a version where a crash harms nobody; see `trial.attempt`."""


class ModelListener(Protocol):
    """Those who must know which model answers. Called in the event loop."""

    def swapped(self, model: Model) -> None:
        """Answer with this model from the next batch on."""
        ...

    def refused(self) -> None:
        """Note that a version was not fit to serve."""
        ...

    def stands_refused(self, is_refused: bool) -> None:
        """Note whether the version that the store wants served is one that was refused."""
        ...


@dataclass(frozen=True, slots=True)
class Survey:
    """What a store says of a name."""

    candidates: tuple[Candidate, ...]
    """What may be served, the first that is sound to be taken."""
    is_pinned: bool
    """Whether there is no other choice."""


class ModelWatch:
    """Follows a name of a store, or stays with the version that was asked for."""

    def __init__(
        self,
        store: Path,
        wanted: str,
        engine: str,
        recipients: ModelListener,
        seconds: float,
        attempt: Attempt = trial.attempt,
        load: Callable[[Path, str, str | None], Model] = model_store.load_folder,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            store: the folder of models.
            wanted: "name" to follow the store, or "name/version" for that and no other.
            engine: a key of `config.ENGINES`.
            recipients: told of swaps and refusals.
            seconds: how long a version may take to be tried.
            attempt: tries a version before this process loads it.
            load: loads and checks a version; called in a thread when the server runs.
        """
        self._store = store
        self._wanted = wanted
        self._engine = engine
        self._recipients = recipients
        self._seconds = seconds
        self._attempt = attempt
        self._load = load
        self._served = ""
        self._refused: set[Candidate] = set()
        self._seen: Survey | None = None
        self._trouble: str | None = None

    async def load_first(self) -> Model:
        """Load what a server starts with.

        Where the newest version is broken that is the one before: what a running server would go on with.
        A version that was asked for, or pinned, has no substitute. Models that come with the package are as
        much to be trusted as its code, and a start is not to wait for another process: they are loaded
        without being tried there.

        Raises:
            ModelError: none is sound; the message is about the newest.
        """
        if "/" in self._wanted:
            return await self._first(model_store.find(self._store, self._wanted))
        failures: list[ModelError] = []
        for candidate in survey(self._store, self._wanted).candidates:
            try:
                model = await self._first(candidate[0])
            except ModelError as error:
                failures.append(error)
                self._refuse(candidate, error)
            else:
                self._served = model.version
                self._recipients.stands_refused(bool(failures))
                return model
        raise failures[0]

    async def run(self, period: float) -> None:
        """Look at the store every `period` seconds, until cancelled; for a fixed version, never."""
        while "/" not in self._wanted:
            await asyncio.sleep(period)
            await self.look()

    async def look(self) -> None:
        """Look once: follow what the store says, if it said the same at the last look.

        What looks the same twice is not being written any more.
        """
        try:
            seen = await asyncio.to_thread(survey, self._store, self._wanted)
        except (ModelError, OSError) as error:
            self._seen = None
            if str(error) != self._trouble:  # Logged once, not at every look.
                self._trouble = str(error)
                logs.get().warning("model_store_unreadable", reason=self._trouble)
            return
        self._trouble = None
        is_settled = seen == self._seen
        self._seen = seen
        if is_settled:
            self._refused.intersection_update(seen.candidates)
            await self._follow(seen)
            self._recipients.stands_refused(seen.candidates[0] in self._refused)

    async def _follow(self, seen: Survey) -> None:
        for candidate in seen.candidates:
            version = candidate[0].name
            if version == self._served:
                return
            if not seen.is_pinned and model_store.order(version) < model_store.order(self._served):
                # Its folder has vanished. That is no wish to go back: a pin would be.
                return
            if candidate in self._refused:
                continue
            began = perf_counter()
            try:
                tried = await self._attempt(candidate[0], self._engine, self._seconds)
                model = await asyncio.to_thread(self._load_quietly, candidate[0], tried)
            except ModelError as error:
                self._refuse(candidate, error)
                continue
            before, self._served = self._served, version
            self._recipients.swapped(model)
            seconds = round(perf_counter() - began, 3)
            logs.get().info("model_swapped", model=model.label, before=before, seconds=seconds)
            return

    async def _first(self, folder: Path) -> Model:
        tried = None
        if self._store != model_store.BUNDLED:
            tried = await self._attempt(folder, self._engine, self._seconds)
        return self._load_quietly(folder, tried)

    def _load_quietly(self, folder: Path, tried: str | None) -> Model:
        with logs.native_stderr():
            return self._load(folder, self._engine, tried)

    def _refuse(self, candidate: Candidate, error: ModelError) -> None:
        self._refused.add(candidate)
        self._recipients.refused()
        label = f"{candidate[0].parent.name}/{candidate[0].name}"
        logs.get().error("model_refused", model=label, reason=str(error))


def survey(store: Path, name: str) -> Survey:
    """Look at the versions of a name that may be served.

    Raises:
        ModelError: there is none, or not the one that is pinned.
        OSError: the store cannot be read.
    """
    is_pinned = model_store.pinned_version(store, name) is not None
    folders = [] if is_pinned else model_store.versions(store, name)[::-1]
    folders = folders or [model_store.find(store, name)]
    return Survey(tuple((folder, _state(folder)) for folder in folders), is_pinned)


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Give what changes when a version's files do; empty when the folder has just vanished."""
    try:
        stats = [(entry.name, entry.stat()) for entry in sorted(folder.iterdir())]
    except FileNotFoundError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
