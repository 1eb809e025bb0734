"""The page as a browser gets it: one file with everything in it, and headers that forbid it all else."""

from __future__ import annotations

from pathlib import Path

from inkstream import _sealed_page

PAGE = Path(__file__).with_name("board.html").read_bytes()
"""The page."""

POLICY = _sealed_page.policy_of(PAGE)
"""What the page may do: run its own script, look like its own style, speak with the board."""

HEADERS = (*_sealed_page.HEADERS, ("Cross-Origin-Resource-Policy", "same-origin"))
"""Of every answer."""
