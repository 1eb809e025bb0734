from __future__ import annotations

from importlib import import_module
from types import ModuleType

from inkstream_server.config import settings, variable_of

from docs.generate import api, configuration


def test_the_page_of_settings_has_a_row_for_each() -> None:
    page = configuration.page()
    for setting in settings():
        assert page.count(f"`{variable_of(setting)}`") == 1, setting.name


def test_the_page_of_the_api_has_a_part_for_each_public_name() -> None:
    page = api.page()
    for name in api.MODULES:
        module = import_module(name)
        public = getattr(module, "__all__", ())
        for member in {*public} - {"__version__"}:
            if not isinstance(getattr(module, member), ModuleType):
                assert f"\n### {name}.{member}\n" in page


def test_the_page_of_the_api_shows_how_things_are_called_and_what_fields_mean() -> None:
    page = api.page()
    assert "    top_k: int = 0,\n" in page
    assert page.count("- `interims_per_second`: results per second") == 2
    assert "- raises `InvalidImage`: the images cannot be taken as they are." in page
    assert "- `certificate_chain: bytes | None = None`: The client's certificate" in page
    assert "no other image. Its callbacks run in the thread of the connection" in page
    assert "_outbox" not in page
    assert "inkstream._" not in page


def test_the_page_of_the_api_shows_defaults_overloads_and_aliases() -> None:
    page = api.page()
    assert "- `strokes: int = 1000`: strokes of one ink." in page
    assert page.count("def stream(") == 4
    assert "OnState: TypeAlias = Callable[[ConnectionEvent], object]" in page
    assert "    - InvalidImage " in page


def test_the_page_of_the_api_hides_internal_methods_of_pens() -> None:
    page = api.page()
    for internal in ("def deliver(", "def fail(", "def look(", "PenOptions"):
        assert internal not in page
