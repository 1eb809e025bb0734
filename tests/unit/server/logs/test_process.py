from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
import structlog
from inkstream_server import logs
from inkstream_server.logs.kinds import MOST_LINES
from inkstream_server.logs.lines import MOST_LINE
from inkstream_server.logs.log import KIND, Limit

from tests.patience import eventually

SECRET = "school-7.SECRET"

START = """
import asyncio, ctypes, gc, logging, os, sys, threading, traceback, warnings
from inkstream_server import logs
from inkstream_server.errors import StartError
logs.configure('json', 'info')
SECRET = 'school-7.SECRET'
"""


def run(script: str, *, close: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script in a process with its own stderr, like a server; `close` is a descriptor that it lacks."""
    command = [sys.executable, "-c", START + script]
    if close is not None:
        command = ["sh", "-c", f'exec "$@" {close}>&-', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def events(ended: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Read what a script wrote to stderr, in which each line must be JSON."""
    return [json.loads(line) for line in ended.stderr.splitlines()]


EVERYTHING = """
def fails(): int(SECRET)

class Bad:
    def __del__(self): fails()

async def life():
    loop = asyncio.get_running_loop()
    logs.watch_loop(loop)
    loop.call_soon(lambda text: int(text), SECRET)
    async def lost(text): int(text)
    task = asyncio.create_task(lost(SECRET))
    await asyncio.sleep(0.01)
    del task
    gc.collect()

with logs.whole_process():
    print('one', 'two', file=sys.stderr)
    print('half a ', end='', file=sys.stderr)
    print('line\\x1b', file=sys.stderr)
    try: fails()
    except ValueError: traceback.print_exc()
    thread = threading.Thread(target=fails, name='worker')
    thread.start(); thread.join()
    Bad(); gc.collect()
    asyncio.run(life())
    warnings.warn('grows old')
    logging.getLogger('grpc._cython').error('Failed on %s', SECRET)
    logging.getLogger('lib').info(f'a\\nb')
    raise RuntimeError('the end')
"""


def test_whatever_says_it_each_event_is_one_line_and_no_value_is_in_it() -> None:
    ended = run(EVERYTHING)
    assert ended.returncode == 1
    assert SECRET not in ended.stderr
    found = events(ended)
    said = [it["line"] for it in found if it["event"] == "stderr_output"]
    assert said[:2] == ["one two", r"half a line\x1b"]
    assert said[-1] == "ValueError"
    names = [it["event"] for it in found if it["event"] != "stderr_output"]
    assert names[:4] == [
        "thread_failed",
        "finalizer_failed",
        "Exception in callback life",
        "Task exception was never retrieved",
    ]
    assert "grows old" in names[4]
    assert names[5:] == ["Failed on ...", r"a\nb", "crashed"]
    assert found[-1]["exception"].endswith("RuntimeError: the end")
    assert all("ValueError" in it["exception"] for it in found if it["event"] in names[:4])


def test_an_error_of_the_start_passes_and_what_follows_is_as_before() -> None:
    ended = run("""
try:
    with logs.whole_process(passes=StartError):
        print('within', file=sys.stderr)
        raise StartError('port: taken')
except StartError as error:
    print(error, file=sys.stderr)
""")
    first, second = ended.stderr.splitlines()
    assert json.loads(first)["line"] == "within"
    assert second == "port: taken"


def test_an_error_that_nobody_shows_is_an_event() -> None:
    ended = run("with logs.whole_process(): raise StartError('pin: no core')")
    (line,) = events(ended)
    assert (ended.returncode, line["event"]) == (1, "crashed")
    assert line["exception"].endswith("StartError: pin: no core")


def test_what_fails_while_python_ends_is_an_event() -> None:
    ended = run("""
class Late:
    def __del__(self): int(SECRET)

with logs.whole_process():
    late = Late()
    late.itself = late
""")
    (line,) = events(ended)
    assert (line["event"], line["of"]) == ("finalizer_failed", "Late.__del__")
    assert line["exception"].endswith("\nValueError")


def test_lines_that_were_omitted_are_counted_at_the_latest_when_the_process_ends() -> None:
    ended = run(
        "with logs.whole_process():\n    for _ in range(1000): print('x', file=sys.stderr)\n"
    )
    *lines, last = events(ended)
    assert len(lines) == MOST_LINES
    assert (last["event"], last["kind"], last["lines"]) == (
        "log_lines_omitted",
        "stderr_output",
        1000 - MOST_LINES,
    )


async def test_omitted_lines_are_counted_when_their_window_closes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    limit = Limit(lambda: now)
    monkeypatch.setattr("inkstream_server.logs.log.limit", limit)
    logs.configure("text", "error")
    for number in range(1000):
        logs.get().error("noise", number=number)
        logs.get().error("drain")
    now = 1000.0
    limit.flush(now)
    lines = capsys.readouterr().err.splitlines()
    assert sum("event=drain" in line for line in lines) == 1000
    assert sum("event=noise" in line for line in lines) == MOST_LINES
    # At any level.
    (omitted,) = [line for line in lines if "log_lines_omitted" in line]
    assert f"kind=noise lines={1000 - MOST_LINES} window_s=10" in omitted


def test_an_event_may_be_logged_while_another_one_is_counted() -> None:
    depth: list[int] = []

    def clock() -> float:
        if not depth:  # As if a finalizer failed here.
            depth.append(1)
            assert limit(None, "info", {"event": "inner"}) == {"event": "inner"}
        return 0.0

    limit = Limit(clock)
    assert limit(None, "info", {"event": "outer"}) == {"event": "outer"}
    assert depth


async def test_a_thread_reports_omitted_lines_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "info")
    times = iter(range(1000, 10_000_000, 1000))
    limit = Limit(lambda: next(times) if limit._reporter else 0.0)
    for _ in range(MOST_LINES):
        assert limit(None, "info", {"event": "e", KIND: "noise"}) == {"event": "e"}
    with pytest.raises(structlog.DropEvent):
        limit(None, "info", {"event": "e", KIND: "noise"})
    await eventually("a report", lambda: limit._reporter is None)
    assert "kind=noise lines=1" in capsys.readouterr().err


def test_a_process_without_stderr_logs_nothing_and_lives() -> None:
    ended = run(
        """
with logs.whole_process():
    logs.get().info('ready')
    print('x', file=sys.stderr)
    with logs.native_stderr():
        os.write(2, b'native')
    assert os.path.sameopenfile(2, os.open(os.devnull, os.O_WRONLY)), os.readlink('/proc/self/fd/2')
print('lives')
""",
        close=2,
    )
    assert (ended.returncode, ended.stdout) == (0, "lives\n")


def test_output_of_native_code_becomes_events() -> None:
    ended = run("""
with logs.whole_process():
    with logs.native_stderr():
        os.write(2, b"INFO: made\\n\\n" + b"x" * 1_000_000)
        thread = threading.Thread(target=logs.get().info, args=("another thread",))
        thread.start()
        thread.join()
os.write(2, b'{"event": "afterwards"}')
""")
    first, second, third, last = events(ended)
    assert first["event"] == "another thread"
    assert second["line"] == "INFO: made"
    assert re.fullmatch("x{2000,}…", third["line"])
    assert len(ended.stderr.splitlines()[2]) < MOST_LINE
    assert last["event"] == "afterwards"
    assert ended.returncode == 0


def test_a_crash_of_native_code_shows_where_it_was() -> None:
    ended = run("with logs.whole_process(), logs.native_stderr():\n    os.abort()\n")
    assert ended.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in ended.stderr
    assert "<module>" in ended.stderr


def test_the_last_words_of_a_stuck_process_are_an_event() -> None:
    ended = run("""
with logs.whole_process():
    logs.last_words('stuck', what='event loop', exit=70)
    import faulthandler
    faulthandler.dump_traceback(all_threads=True)
    os._exit(70)
""")
    first, *stacks = ended.stderr.splitlines()
    entry = json.loads(first)
    assert (entry["event"], entry["level"], entry["exit"]) == ("stuck", "critical", 70)
    assert "<module>" in stacks[-1]
