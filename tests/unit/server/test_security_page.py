"""Compares the table of limits in docs/security.md with the code."""

from __future__ import annotations

import re
from pathlib import Path

from inkstream_server.access import allowance, first_message, tls, tokens
from inkstream_server.config import ENGINES, MOST_MODEL_BYTES, settings
from inkstream_server.engines import keras_archive
from inkstream_server.errors import MOST_SHOWN
from inkstream_server.limits import machine_memory, memory_book, memory_watch, turns
from inkstream_server.limits.memory_book import Account, MemoryLimits
from inkstream_server.logs import kinds, lines
from inkstream_server.metrics import clients
from inkstream_server.model_store import card, store
from inkstream_server.pens.boxes import BOX_BYTES
from inkstream_server.pens.glyph_reply import NUMBER_BYTES, REPLY_BYTES
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.pen import PEN_BYTES
from inkstream_server.pens.strokes import GLYPH_BYTES, POINT_BYTES, STROKE_BYTES
from inkstream_server.process import budget, confined, descriptors, http_port, http_request
from inkstream_server.rpc import endings, health, listener, reflection, unary
from inkstream_server.streams import lifetime, session
from inkstream_server.wire import ink_pieces, requests

PAGE = (Path(__file__).parents[3] / "docs" / "security.md").read_text()


def test_every_limit_that_can_be_set_stands_with_its_default() -> None:
    defaults = {setting.name: setting.default for setting in settings()}
    rows = re.findall(r"\| [^|]+ \| ([\d.]+)[^|]* \| `--([a-z-]+)` \|", PAGE)
    assert {flag.replace("-", "_"): shown for shown, flag in rows} == {
        flag.replace("-", "_"): str(defaults[flag.replace("-", "_")]) for _, flag in rows
    }
    missing = {name for name in defaults if name.startswith("max_") and "restart" not in name}
    reported = {flag.replace("-", "_") for _, flag in rows}
    assert missing - reported == {"max_batch"}
    assert "stall_timeout" in reported


def test_fixed_limits_are_those_of_the_code() -> None:
    pen = PenLimits()
    for shown in (
        f"{listener.HANDSHAKE_MS} ms",
        f"{listener.IDLE_CONNECTION_MS} ms",
        f"{listener.PING_STRIKES} closer than {listener.PING_INTERVAL_MS} ms",
        f"{lifetime.FIRST_MESSAGE_SECONDS} s",
        f"{unary.UNARY_SECONDS} s",
        f"{endings.STATUS_SECONDS} s, then the call is reset",
        f"`--max-memory` holds, at least {first_message.LEAST_READS}",
        f"on their way at once | {first_message.STRANGERS_READS}",
        f"health service | {health.HEALTH_SECONDS} s",
        f"refused | {first_message.REFUSED_SECONDS} s",
        f"{health.CHECKS}",
        f"{health.WATCHES} of a connection, {health.MOST_WATCHES} in all",
        f"{health.WATCH_SECONDS} s",
        f"{reflection.REFLECTION_SECONDS} s, {reflection.MOST_BYTES} bytes",
        f"{MOST_SHOWN} characters",
        f"connection | {listener.READ_BYTES}",
        f"{unary.CALL_BYTES // 1024} kB, twice its message",
        f"{listener.KEEPALIVE_MS} ms, then {listener.KEEPALIVE_TIMEOUT_MS} ms",
        f"{listener.MOST_WAITING_CALLS}",
        f"{clients.MOST_LABELS}",
        f"{tokens.MOST_BYTES} bytes",
        f"{tls.MOST_BYTES} bytes",
        f"{card.MOST_BYTES} bytes",
        f"{card.MOST_DEPTH} lists and objects within each other",
        f"{card.MOST_DIGITS} digits a number",
        f"{MOST_MODEL_BYTES} bytes",
        f"{keras_archive.MOST_JSON_BYTES} bytes",
        f"{store.MOST_PIN_BYTES} bytes",
        f"{store.MOST_ENTRIES}",
        *(f"{kind.trial_bytes} bytes with {name}" for name, kind in ENGINES.items()),
        f"{confined.MOST_OUTPUT} bytes",
        f"{lines.MOST_LINE} bytes",
        f"{kinds.MOST_LINES} in {kinds.WINDOW_SECONDS:g} s, at debug {kinds.MOST_DEBUG_LINES}",
        f"{pen.strokes_per_glyph} strokes, {pen.points_per_glyph} points in all, "
        f"{pen.glyph_seconds:g} s",
        f"{allowance.EVENTS_PER_ITEM} events and {allowance.POINTS_PER_ITEM} points for each item, at "
        f"least {allowance.LEAST_EVENTS} and {allowance.LEAST_POINTS} a second, "
        f"{allowance.INK_BURST_SECONDS:g} s of them at once",
        f"{turns.TURN_SECONDS * 1000:g} ms of a turn of the event loop, "
        f"{turns.QUANTUM_SECONDS * 1000:g} ms of a stream before",
        f"{Account(MemoryLimits().stream).usable} bytes: {PEN_BYTES} a pen, {BOX_BYTES} a box, "
        f"{GLYPH_BYTES} an open digit, {STROKE_BYTES} a stroke, {POINT_BYTES} a point",
        f"{pen.remembered_strokes} of a pen, {pen.remembered_by_stream} of a stream",
        f"{REPLY_BYTES} bytes, and {NUMBER_BYTES} a stroke",
        f"{pen.boxes} boxes, {pen.interims_per_second} interims a second, "
        f"quiet times of {pen.quiet_seconds:g} s",
    ):
        assert f" {shown} " in PAGE or f" {shown}, " in PAGE


def test_the_limits_of_memory_are_those_of_the_code() -> None:
    for row in (
        f"a piece of ink that is parsed at once | {ink_pieces.PIECE_BYTES} bytes or "
        f"{ink_pieces.PIECE_EVENTS} events",
        f"an event | {ink_pieces.EVENT_BYTES} bytes",
        f"parts of a unary request: strokes, boxes, fields | {requests.MOST_PARTS}",
        f"what gRPC reads ahead on a stream | {listener.LOOKAHEAD_BYTES} bytes, and",
        f"waiting messages, ink and answers of a stream | {memory_book.USABLE} of",
        f"the first message of a stream | {lifetime.FIRST_MESSAGE_SECONDS} s",
        f"behind answers that the caller does not read | {endings.STATUS_SECONDS} s, or "
        f"{endings.SHORT_SECONDS} s while memory is short",
        f"the end of a call after its last message | {session.LAST_OPERATIONS_SECONDS} s",
    ):
        assert f"| {row} " in PAGE or f"{row} |" in PAGE, row
    for sentence in (
        f"{machine_memory.SHARE:.0%}".replace("%", " %") + " of what there is by default",
        f"looks every {memory_watch.LOOK_SECONDS} s",
        f"every {memory_watch.TRIM_SECONDS:g} s while more\nthan {memory_watch.TRIM_BYTES // 2**20} MiB",
    ):
        assert sentence in PAGE, sentence


def test_the_limits_of_the_pages_are_those_of_the_code() -> None:
    times = http_port.Times()
    for row in (
        f"connections to the pages | {http_port.MOST_CONNECTIONS}, or a quarter",
        f"a request | {http_request.MOST_HEAD_BYTES} bytes, {http_request.MOST_HEAD_LINES} lines, "
        f"{http_request.MOST_TARGET_BYTES} bytes of path and query, no body",
        f"time for a request | {times.head:g} s",
        f"time until an answer is computed | {times.answer:g} s",
        f"time for reading an answer | {times.write:g} s",
        f"time between two requests | {times.idle:g} s",
        f"what the kernel holds of an answer | {http_port.SEND_BUFFER_BYTES} bytes a connection",
        f"once for all that wait; {budget.SHARE} of a core after {budget.BURST_SECONDS:g} s of ",
    ):
        assert f"| {row}" in PAGE or row in PAGE


def test_the_descriptors_are_divided_as_the_code_does() -> None:
    pages = min(http_port.MOST_CONNECTIONS, (256 - descriptors.OWN) // 4)
    for shown in (
        f"keeps {descriptors.OWN}\ndescriptors for itself",
        f"with `ulimit -n 256`, {pages} connections to the pages and "
        f"{256 - descriptors.OWN - pages} of gRPC",
        f"Below {descriptors.LEAST} (with workers, {descriptors.LEAST} and {descriptors.OF_WORKER} for each)",
    ):
        assert shown in PAGE
