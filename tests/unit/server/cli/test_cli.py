from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from inkstream_server import __version__
from inkstream_server import server as lifecycle
from inkstream_server.cli import main
from inkstream_server.config import Config, settings
from inkstream_server.errors import StartError


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations passed to `serve`, which runs no server here."""
    configs: list[Config] = []
    monkeypatch.setattr(lifecycle, "serve", configs.append)
    return configs


def call(*arguments: str, **environment: str) -> Result:
    unset = dict.fromkeys(name for name in os.environ if name.startswith("INKSTREAM_"))
    return CliRunner().invoke(main, arguments, env={**unset, **environment})


def test_help_says_what_the_command_is_for() -> None:
    page = call("--help").output
    assert "Serve handwritten digit recognition" in page
    assert "inkstream-server serve --port 50051" in page
    assert call("--version").output.strip().endswith(__version__)


def test_help_describes_every_setting_and_its_variable() -> None:
    page = call("serve", "--help").output
    assert page.index("Run the server") < page.index("Examples:") < page.index("Options:")
    words = " ".join(page.split())
    for setting in settings():
        assert "--" + setting.name.replace("_", "-") in page
        assert "INKSTREAM_" + setting.name.upper() in page
        assert setting.metadata["help"].split(".")[0] in words


def commands(
    command: click.Command = main, words: str = "inkstream-server"
) -> dict[str, click.Command]:
    """Every command and group by its full name."""
    found = {words: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            assert member is not None
            found |= commands(member, f"{words} {name}")
    return found


@pytest.mark.parametrize(("words", "command"), commands().items())
def test_help_is_whole_sentences_with_an_example(words: str, command: click.Command) -> None:
    page = call(*words.split()[1:], "--help").output
    assert words in page.partition("Examples:")[2]
    assert "..." not in page.partition("Commands:")[2]
    paragraphs = [part for part in str(command.help).split("\n\n") if "\b" not in part]
    options = [option.help for option in command.params if isinstance(option, click.Option)]
    for text in [*paragraphs, *options]:
        assert str(text).rstrip().endswith("."), text


def test_an_interruption_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(config: Config) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "serve", interrupt)
    interrupted = call("serve")
    assert (interrupted.exit_code, interrupted.stderr) == (130, "Interrupted.\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
@pytest.mark.parametrize("words", [("models", "list"), ("--help",)])
def test_output_that_cannot_be_written_is_an_error_of_one_line(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "inkstream_server", *words]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("inkstream-server: standard output cannot be written")
    assert ended.stderr.count("\n") == 1


def test_without_flags_the_defaults_are_served(served: list[Config]) -> None:
    assert call("serve").exit_code == 0
    assert served == [Config()]


def test_every_kind_of_setting_has_a_flag(served: list[Config], tmp_path: Path) -> None:
    result = call(
        *("serve", "--host", "::1", "--port", "0", "--engine", "keras", "--drain-timeout", "2.5"),
        *("--ready-file", str(tmp_path / "r"), "--model", "digits/1", "--log-format", "json"),
    )
    assert result.exit_code == 0, result.output
    (config,) = served
    assert (config.host, config.port, config.engine) == ("::1", 0, "keras")
    assert (config.drain_timeout, config.ready_file) == (2.5, tmp_path / "r")
    assert (config.model, config.log_format) == ("digits/1", "json")


def test_a_variable_sets_what_no_flag_sets(served: list[Config]) -> None:
    call("serve", INKSTREAM_PORT="7000", INKSTREAM_MAX_BATCH="8", INKSTREAM_READY_FILE="r.json")
    (config,) = served
    assert (config.port, config.max_batch, config.ready_file) == (7000, 8, Path("r.json"))


def test_a_flag_beats_the_environment(served: list[Config]) -> None:
    call("serve", "--port", "7001", INKSTREAM_PORT="7000")
    assert served[0].port == 7001


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        (["--max-batch", "1000"], "max_batch: expected 1 to 256, got 1000"),
        (["--engine", "torch"], "'torch' is not one of 'litert'"),
        (["--port", "http"], "'http' is not a valid integer"),
        (["--colour", "red"], "No such option"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_a_bad_value_is_named_with_what_is_expected(
    served: list[Config], arguments: list[str], expected_text: str
) -> None:
    result = call("serve", *arguments)
    assert result.exit_code == 2
    assert expected_text in result.stderr
    assert "Traceback" not in result.output
    assert not served


def test_a_server_that_cannot_start_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Config) -> None:
        raise StartError("port: cannot listen")

    monkeypatch.setattr(lifecycle, "serve", refuse)
    result = call("serve")
    assert result.exit_code == 1
    assert result.stderr == "inkstream-server: port: cannot listen\n"
    assert result.stdout == ""


def test_a_bad_value_of_the_environment_is_named_with_its_variable(served: list[Config]) -> None:
    result = call("serve", INKSTREAM_MAX_BATCH="1000")
    assert result.exit_code == 2
    assert "max_batch: expected 1 to 256, got 1000 (set by INKSTREAM_MAX_BATCH)" in result.stderr
    assert "INKSTREAM_PORT" in call("serve", INKSTREAM_PORT="tcp://10.0.0.1:50051").stderr
    assert not served


def test_a_bad_value_of_a_flag_is_not_blamed_on_the_environment() -> None:
    text = call("serve", "--max-batch", "1000", INKSTREAM_MAX_BATCH="8").stderr
    assert "max_batch: expected 1 to 256, got 1000" in text
    assert "INKSTREAM_MAX_BATCH" not in text


def test_config_shows_each_value_and_its_source() -> None:
    result = call("config", "--json", "--port", "1", INKSTREAM_WINDOW="77")
    shown = json.loads(result.stdout)
    assert list(shown) == [setting.name for setting in settings()]
    assert shown["port"] == {"value": 1, "source": "flag"}
    assert shown["window"] == {"value": 77, "source": "environment"}
    assert shown["max_batch"] == {"value": Config().max_batch, "source": "default"}


def test_config_is_readable_and_grouped() -> None:
    lines = call("config", INKSTREAM_WINDOW="77").stdout.splitlines()
    assert lines[0] == "Serving"
    assert ["window", "environment", "77"] in [line.split() for line in lines]
    assert ["ready_file", "default", "-"] in [line.split() for line in lines]


def test_config_refuses_what_serve_refuses() -> None:
    assert "max_batch: expected" in call("config", "--max-batch", "0").stderr


@pytest.mark.parametrize(
    ("arguments", "reasons"),
    [
        (["--host", "0.0.0.0"], ["host: 0.0.0.0 can be reached from elsewhere"]),
        (["--host", "192.0.2.1", "--insecure-listen"], ["host: cannot listen on 192.0.2.1"]),
        (["--tls-cert", "/x", "--tls-key", "/y"], ["tls_cert: cannot read /x"]),
        (["--model", "nosuch", "--tokens", "/z"], ["tokens: cannot read /z", "model: "]),
        (["--model-store", "/nosuch"], ["model: "]),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_config_shows_the_errors_of_serve_after_the_settings(
    arguments: list[str], reasons: list[str], form: list[str]
) -> None:
    result = call("config", *arguments, *form)
    assert result.exit_code == 1
    assert "max_batch" in result.stdout
    text = result.stderr.splitlines()
    assert len(text) == len(reasons)
    for line, reason in zip(text, reasons, strict=True):
        assert line.startswith(f"inkstream-server: {reason}")


def test_serve_logs_unknown_variables(served: list[Config]) -> None:
    result = call("serve", "--log-format", "json", INKSTREAM_MAX_BACTH="8", INKSTREAM_ZZZ="secret")
    assert served == [Config(log_format="json")]
    first, second = map(json.loads, result.stderr.splitlines())
    assert (first["event"], first["level"]) == ("unknown_variable", "warning")
    assert (first["name"], first["near"]) == ("INKSTREAM_MAX_BACTH", "INKSTREAM_MAX_BATCH")
    assert second["name"] == "INKSTREAM_ZZZ"
    assert "secret" not in result.output


def test_config_names_unknown_variables() -> None:
    text = call("config", INKSTREAM_MAX_BACTH="8").stderr
    assert text == (
        "INKSTREAM_MAX_BACTH: the server has no such setting; did you mean INKSTREAM_MAX_BATCH?\n"
    )
