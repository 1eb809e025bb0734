"""Keeps a server on the model that its store names: polls the store, tries versions, swaps them in.

It polls, because the kernel's notifications do not cross network file systems and not always reach
containers. To list a few names and times every two seconds costs nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from inkstream_server import logs
from inkstream_server.errors import shown
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store import trial
from inkstream_server.model_store.store import Model, ModelError
from inkstream_server.process.files import aside

Candidate = tuple[Path, tuple[tuple[str, int, int], ...]]
"""The folder of a version, and its `store.files_of`. When one of them changes, a
refused version is tried again."""

Attempt = Callable[[Path, str, float], Awaitable[str]]
"""Tries a version in another process; see `trial.attempt`."""


class ModelListener(Protocol):
    """Is notified of changes of the model, in the event loop."""

    def swapped(self, model: Model) -> None:
        """Answer with this model from the next batch on."""
        ...

    def refused(self) -> None:
        """Count a version that was refused."""
        ...

    def stands_refused(self, is_refused: bool) -> None:
        """Note whether the version that the store names was refused."""
        ...


@dataclass(frozen=True, slots=True)
class Survey:
    """The versions of a name in a store."""

    candidates: tuple[Candidate, ...]
    """Versions that may be served. The first one that is sound is."""
    is_pinned: bool
    """Whether the only candidate is a pinned version."""


class ModelWatch:
    """Follows a name of a store, or keeps the version that was asked for."""

    def __init__(
        self,
        store: Path,
        wanted: str,
        engine: str,
        listener: ModelListener,
        seconds: float,
        attempt: Attempt = trial.attempt,
        load: Callable[[Path, str, str | None], Model] = model_store.load_folder,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            store: the folder of models.
            wanted: "name" to follow the store, or "name/version" to keep that version.
            engine: a key of `config.ENGINES`.
            listener: is notified of swaps and refusals.
            seconds: how long the trial of a version may take.
            attempt: tries a version before this process loads it.
            load: loads and checks a version; called in a thread when the server runs.
        """
        self._store = store
        self._wanted = wanted
        self._engine = engine
        self._listener = listener
        self._seconds = seconds
        self._attempt = attempt
        self._load = load
        self._served = ""
        self._refused: set[Candidate] = set()
        self._seen: Survey | None = None
        self._error: str | None = None

    async def load_first(self) -> Model:
        """Load the model that a server starts with.

        If the newest version is not sound, it is the one before, with which a running server would continue.
        A version that was asked for or pinned has no substitute. Bundled models are trusted like the code of
        the package: they are loaded without a trial, so that a start does not wait for another process.

        Raises:
            ModelError: no version is sound; the message is about the newest.
        """
        if "/" in self._wanted:
            return await self._first(await aside(model_store.find, self._store, self._wanted))
        failures: list[ModelError] = []
        for candidate in (await aside(survey, self._store, self._wanted)).candidates:
            try:
                model = await self._first(candidate[0])
            except ModelError as error:
                failures.append(error)
                self._refuse(candidate, error)
            else:
                self._served = model.version
                self._listener.stands_refused(bool(failures))
                return model
        raise failures[0]

    async def run(self, period: float) -> None:
        """Poll the store every `period` seconds until cancelled; a version asked for needs no poll."""
        while "/" not in self._wanted:
            await asyncio.sleep(period)
            await self.look()

    async def look(self) -> None:
        """Look once, and follow the store if it is the same as at the last look.

        A store that is the same twice is not being written.
        """
        try:
            seen = await aside(survey, self._store, self._wanted)
        except ModelError as error:
            self._seen = None
            if str(error) != self._error:  # Logged once, not at every look.
                self._error = str(error)
                logs.get().warning("model_store_unreadable", reason=self._error)
            return
        self._error = None
        is_settled = seen == self._seen
        self._seen = seen
        if is_settled:
            self._refused.intersection_update(seen.candidates)
            await self._follow(seen)
            self._listener.stands_refused(seen.candidates[0] in self._refused)

    async def _follow(self, seen: Survey) -> None:
        for candidate in seen.candidates:
            version = candidate[0].name
            if version == self._served:
                return
            if not seen.is_pinned and model_store.order(version) < model_store.order(self._served):
                # The folder of the served version has vanished. Only a pin goes back to an older one.
                return
            if candidate in self._refused:
                continue
            began = perf_counter()
            try:
                tried = await self._attempt(candidate[0], self._engine, self._seconds)
                model = await self._loaded(candidate[0], tried)
            except ModelError as error:
                self._refuse(candidate, error)
                continue
            before, self._served = self._served, version
            self._listener.swapped(model)
            seconds = round(perf_counter() - began, 3)
            logs.get().info("model_swapped", model=model.label, before=before, seconds=seconds)
            return

    async def _first(self, folder: Path) -> Model:
        tried = None
        if self._store != model_store.BUNDLED:
            tried = await self._attempt(folder, self._engine, self._seconds)
        return await self._loaded(folder, tried)

    async def _loaded(self, folder: Path, tried: str | None) -> Model:
        """Load a version in a thread.

        Raises:
            ModelError: the version is not sound.
        """
        try:
            return await aside(self._load_quietly, folder, tried)
        except ModelError:
            raise
        except Exception as error:
            # A hostile file may cause any error, and must not end the watch.
            raise ModelError(
                f"{folder} cannot be loaded: {type(error).__name__}: {shown(str(error))}; "
                "export the model again"
            ) from error

    def _load_quietly(self, folder: Path, tried: str | None) -> Model:
        with logs.native_stderr():
            return self._load(folder, self._engine, tried)

    def _refuse(self, candidate: Candidate, error: ModelError) -> None:
        self._refused.add(candidate)
        self._listener.refused()
        label = f"{candidate[0].parent.name}/{candidate[0].name}"
        logs.get().error("model_refused", model=label, reason=str(error))


def survey(store: Path, name: str) -> Survey:
    """Find the versions of a name that may be served.

    Raises:
        ModelError: there is none, the pinned one does not exist, or the store cannot be read.
    """
    is_pinned = model_store.pinned_version(store, name) is not None
    folders = [] if is_pinned else model_store.versions(store, name)[::-1]
    folders = folders or [model_store.find(store, name)]
    candidates = tuple((folder, model_store.files_of(folder)) for folder in folders)
    return Survey(candidates, is_pinned)
