from __future__ import annotations

from pathlib import Path

import click
import pytest

from benchmarks.load.live_pens import Writing
from benchmarks.pens import write_into


def run(pens: int, p99_ms: float) -> Writing:
    return Writing(pens, pens // 100, 1000, 1.0, p99_ms, 60.0, 0.1, 0.5, 1234.5, 0.98, 100.0)


def test_a_search_replaces_only_its_own_table_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "one\n<!-- pens 1 -->\n<!-- end -->\ntwo\n<!-- pens 100 -->\nold\n<!-- end -->\n"
    )
    write_into(page, [run(1000, 9.0), run(2000, 60.0), run(1600, 49.0)], 100)
    lines = page.read_text().splitlines()
    assert lines[:5] == ["one", "<!-- pens 1 -->", "<!-- end -->", "two", "<!-- pens 100 -->"]
    assert [line.split("|")[1].strip() for line in lines[7:10]] == ["1,000", "**1,600**", "2,000"]
    assert lines[10:] == ["<!-- end -->"]


def test_a_page_without_markers_for_the_table_is_refused_and_unchanged(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- pens 100 -->\n<!-- end -->\n")
    with pytest.raises(click.UsageError, match="<!-- pens 1 -->"):
        write_into(page, [run(1000, 9.0)], 1)
    assert page.read_text() == "<!-- pens 100 -->\n<!-- end -->\n"
