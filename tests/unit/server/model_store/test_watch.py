from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
from inkstream_server.model_store import store as model_store
from inkstream_server.model_store.store import Model, ModelError
from inkstream_server.model_store.watch import ModelWatch

from tests.unit.server.builders import NumberEngine, model_of


class Listener:
    """Records the notifications of a watch."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.refusals = 0
        self.is_refused: bool | None = None
        self.threads: list[int] = []

    def swapped(self, model: Model) -> None:
        self.models.append(model.label)
        self.threads.append(threading.get_ident())

    def refused(self) -> None:
        self.refusals += 1

    def stands_refused(self, is_refused: bool) -> None:
        self.is_refused = is_refused


class Desk:
    """A store whose models are empty folders, and broken if their file says so."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.listener = Listener()
        self.tried: list[str] = []
        self.loaded: list[str] = []
        self.loading_threads: set[int] = set()

    def publish(self, version: str, *, is_broken: bool = False) -> Path:
        folder = self.store / "digits" / version
        folder.mkdir(parents=True)
        if is_broken:
            (folder / "model.tflite").write_text("broken")
        (folder / "card.json").write_text("{}")
        return folder

    def watch(self, wanted: str = "digits") -> ModelWatch:
        return ModelWatch(
            self.store, wanted, "litert", self.listener, 60.0, self._attempt, self._load
        )

    async def _attempt(self, folder: Path, engine: str, seconds: float) -> str:
        self.tried.append(folder.name)
        if _content(folder) == "crashes":
            raise ModelError(f"{folder} crashes the engine")
        return f"digest of {folder.name}"

    def _load(self, folder: Path, engine: str, tried: str | None = None) -> Model:
        assert tried in (None, f"digest of {folder.name}")
        self.loaded.append(folder.name)
        self.loading_threads.add(threading.get_ident())
        if _content(folder) == "broken":
            raise ModelError(f"{folder} is broken")
        return model_of(NumberEngine(), f"digits/{folder.name}")


def _content(folder: Path) -> str:
    file = folder / "model.tflite"
    return file.read_text() if file.exists() else ""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.publish("1")
    return desk


async def look(watch: ModelWatch, times: int = 2) -> None:
    for _ in range(times):
        await watch.look()


async def test_a_newer_version_is_served_once_two_polls_find_it_unchanged(desk: Desk) -> None:
    watch = desk.watch()
    assert (await watch.load_first()).version == "1"
    await look(watch, 3)
    desk.publish("2")
    await watch.look()
    assert desk.listener.models == []
    await watch.look()
    assert desk.listener.models == ["digits/2"]
    await look(watch, 3)
    assert desk.loaded == ["1", "2"], "loaded again although no file changed"


async def test_a_version_is_loaded_in_a_thread_and_swapped_in_the_loop(desk: Desk) -> None:
    watch = desk.watch()
    await watch.load_first()
    desk.loading_threads.clear()
    desk.publish("2")
    await look(watch)
    assert desk.listener.threads == [threading.get_ident()]
    assert threading.get_ident() not in desk.loading_threads


async def test_a_version_that_crashes_its_trial_is_never_loaded(desk: Desk) -> None:
    watch = desk.watch()
    await watch.load_first()
    (desk.publish("2") / "model.tflite").write_text("crashes")
    await look(watch, 5)
    assert (desk.loaded, desk.tried) == (["1"], ["1", "2"])
    assert (desk.listener.models, desk.listener.refusals) == ([], 1)
    assert (await desk.watch().load_first()).version == "1", "a restart has the same result"


async def test_bundled_models_are_tried_when_swapped_in_but_not_at_the_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_store, "BUNDLED", desk.store)
    watch = desk.watch()
    assert (await watch.load_first()).version == "1"
    assert desk.tried == []
    desk.publish("2")
    await look(watch)
    assert (desk.listener.models, desk.tried) == (["digits/2"], ["2"])


async def test_a_folder_without_a_card_is_ignored(desk: Desk) -> None:
    watch = desk.watch()
    await watch.load_first()
    folder = desk.publish("2", is_broken=True)
    (folder / "card.json").unlink()
    await look(watch, 3)
    assert (desk.loaded, desk.listener.refusals) == (["1"], 0)
    (folder / "model.tflite").unlink()
    (folder / "card.json").write_text("{}")
    await look(watch)
    assert desk.listener.models == ["digits/2"]


async def test_a_broken_version_is_refused_once_and_the_old_one_stays(desk: Desk) -> None:
    watch = desk.watch()
    await watch.load_first()
    folder = desk.publish("2", is_broken=True)
    await look(watch, 5)
    assert (desk.listener.models, desk.listener.refusals) == ([], 1)
    assert desk.loaded == ["1", "2"]
    (folder / "model.tflite").unlink()  # Repaired, so that it is tried again.
    await look(watch)
    assert desk.listener.models == ["digits/2"]


async def test_the_newest_sound_version_of_several_is_served(desk: Desk) -> None:
    watch = desk.watch()
    await watch.load_first()
    desk.publish("2")
    desk.publish("10", is_broken=True)
    await look(watch)
    assert (desk.listener.models, desk.listener.refusals) == (["digits/2"], 1)


async def test_a_server_starts_with_the_newest_sound_version(desk: Desk) -> None:
    desk.publish("2", is_broken=True)
    watch = desk.watch()
    assert (await watch.load_first()).version == "1"
    assert desk.listener.refusals == 1
    await look(watch, 3)
    assert desk.loaded == ["2", "1"], "the refused version was tried again although no file changed"


async def test_a_refusal_at_the_start_lasts_until_a_sound_version_is_served(
    desk: Desk,
) -> None:
    folder = desk.publish("2", is_broken=True)
    watch = desk.watch()
    await watch.load_first()
    assert desk.listener.is_refused is True
    await look(watch, 3)
    assert desk.listener.is_refused is True
    (folder / "model.tflite").unlink()
    await look(watch)
    assert (desk.listener.models, desk.listener.is_refused) == (["digits/2"], False)


async def test_a_refusal_of_a_running_server_lasts_until_the_version_is_removed(
    desk: Desk,
) -> None:
    watch = desk.watch()
    await watch.load_first()
    assert desk.listener.is_refused is False
    folder = desk.publish("2", is_broken=True)
    await look(watch, 3)
    assert desk.listener.is_refused is True
    shutil.rmtree(folder)
    await look(watch)
    assert desk.listener.is_refused is False


async def test_a_refused_version_is_forgotten_beside_a_newer_one_that_is_sound(desk: Desk) -> None:
    watch = desk.watch()
    await watch.load_first()
    desk.publish("2", is_broken=True)
    await look(watch)
    desk.publish("3")
    await look(watch)
    assert (desk.listener.models, desk.listener.is_refused) == (["digits/3"], False)


async def test_a_server_does_not_start_when_no_version_is_sound(desk: Desk) -> None:
    (desk.store / "digits" / "1" / "model.tflite").write_text("broken")
    desk.publish("2", is_broken=True)
    with pytest.raises(ModelError, match=r"digits/2 is broken"):
        await desk.watch().load_first()


async def test_a_pin_is_followed_backwards_and_its_end_forwards(desk: Desk) -> None:
    desk.publish("2")
    desk.publish("3")
    watch = desk.watch()
    assert (await watch.load_first()).version == "3"
    model_store.pin(desk.store, "digits", "1")
    await look(watch)
    model_store.pin(desk.store, "digits", None)
    await look(watch)
    assert desk.listener.models == ["digits/1", "digits/3"]


async def test_a_server_starts_with_the_pinned_version_or_not_at_all(desk: Desk) -> None:
    desk.publish("2")
    model_store.pin(desk.store, "digits", "1")
    assert (await desk.watch().load_first()).version == "1"
    (desk.store / "digits" / "1" / "model.tflite").write_text("broken")
    with pytest.raises(ModelError, match=r"digits/1 is broken"):
        await desk.watch().load_first()


async def test_a_version_whose_folder_vanishes_is_still_served(desk: Desk) -> None:
    desk.publish("2")
    watch = desk.watch()
    await watch.load_first()
    shutil.rmtree(desk.store / "digits" / "2")
    await look(watch, 3)
    shutil.rmtree(desk.store / "digits")
    await look(watch, 3)
    assert (desk.listener.models, desk.listener.refusals) == ([], 0)
    desk.publish("3")
    await look(watch)
    assert desk.listener.models == ["digits/3"]


async def test_a_store_that_cannot_be_read_is_logged_once(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = desk.watch()
    await watch.load_first()
    (desk.store / "digits" / "serving").write_text("7\n")
    await look(watch, 4)
    output = capsys.readouterr()
    assert (output.out + output.err).count("names version '7', which does not exist") == 1
    assert desk.listener.models == []


async def test_a_server_with_a_version_of_its_own_never_polls(desk: Desk) -> None:
    watch = desk.watch("digits/1")
    assert (await watch.load_first()).version == "1"
    desk.publish("2")
    await watch.run(0.0)  # Returns at once: there is nothing to watch.
    assert desk.listener.models == []


def test_the_record_of_a_card_is_checked_when_a_model_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "digits" / "1"
    shutil.copytree(model_store.BUNDLED / "digits" / "1", folder)
    card = json.loads((folder / "card.json").read_text())
    card["sample"] = {"frames": "seven-segment digits", "probabilities": [[0.1] * 10] * 10}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"model\.tflite fails on the built-in sample"):
        model_store.load_folder(folder)
