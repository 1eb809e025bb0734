from __future__ import annotations

from tests.rooms import arrows_up, circle_in, entries_of, imports_of

FOLDER = "client/inkstream"

ORDER = [
    "__main__",
    "cli",
    "__init__",
    "_client",
    "_async_client",
    "_client_base",
    "_connection",
    "_images",
    "_pens",
    "tablet",
    "pictures",
    "mnist",
    "_background",
    "_options",
    "_results",
    "ink",
    "_fork",
    "_exceptions",
    "v1",
]
"""Every room of the client. A room imports only rooms behind it."""


def test_imports_run_one_way_from_room_to_room() -> None:
    assert arrows_up(imports_of(FOLDER), ORDER) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle_in(imports_of(FOLDER)) == []


def test_the_package_shows_few_entries() -> None:
    assert len(entries_of(FOLDER)) <= 22
