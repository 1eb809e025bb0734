"""Every setting of a server: its flag, its environment variable, its default, and when to change it.

Also names every engine, since `--engine` offers them. Imports nothing of the package.
"""

from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from inkstream_server.errors import shown

BUNDLED = Path(__file__).parent / "models"
"""The models that come with the package."""

MOST_MODEL_BYTES = 64 * 1024 * 1024
"""Largest file of a model, of either engine; the bundled models take half a megabyte."""

QUIET_MS = 600
SHORT_QUIET_MS = 250
"""The default quiet times; `pens.settings.QuietTimes` gives the reasons."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """How to make one kind of engine."""

    file: str
    """The file of a version with the network for images, for example "model.tflite"."""
    strokes_file: str
    """The file with the network for strokes, if the version has one."""
    factory: str
    """The engine's class as "module:name", called with a file's path, content and form. Its module is
    imported when the engine is chosen: TensorFlow takes seconds and hundreds of MB."""
    trial_bytes: int
    """Most memory for a process that tries a version. The bundled models take 0.1 GB with litert and 0.4 GB
    with keras; TensorFlow reserves memory for each core."""


ENGINES = {
    "litert": EngineKind(
        "model.tflite",
        "strokes.tflite",
        "inkstream_server.engines.litert:LiteRTEngine",
        512 * 1024**2,
    ),
    "keras": EngineKind(
        "model.keras", "strokes.keras", "inkstream_server.engines.keras:KerasEngine", 8 * 1024**3
    ),
}
"""Every engine by its name in `--engine`."""


def _setting(value: tuple[object, ...], about: str, *, group: str = "") -> Any:
    """Describe a setting once, for flags, help, checks and the reference page.

    Args:
        value: the default, the unit, and the least and most value if it is a number. The unit "a|b" lists the
            only values, "flag" is on or off.
        about: what the setting does and when to change it, in sentences.
        group: heading of this setting and of those after it; only the first of a group names it.
    """
    default, unit, *between = value
    metadata = {"unit": unit, "help": about, "group": group, "between": between}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of `inkstream-server serve`.

    Field `max_batch` is flag `--max-batch` and variable `INKSTREAM_MAX_BATCH`; the flag wins. The text of
    each field is in its metadata, for `--help` and docs/configuration.md.
    """

    host: str = _setting(
        ("127.0.0.1", "address"),
        "Address to listen on. An address that other machines can reach needs --tls-cert or "
        "--insecure-listen.",
        group="Serving",
    )
    port: int = _setting(
        (50051, "port", 0, 65535),
        "Port to listen on. 0 picks a free port.",
    )
    metrics_host: str = _setting(
        ("127.0.0.1", "address"),
        "Address of the HTTP pages: /metrics for Prometheus and / for people. Change it if Prometheus runs "
        "on another machine. The pages have no access control.",
    )
    metrics_port: int = _setting(
        (9464, "port", 0, 65535),
        "Port of the HTTP pages. 0 picks a free port.",
    )
    tls_cert: Path | None = _setting(
        (None, "PEM file"),
        "Certificate chain of the server. Turns on TLS. The server reads the file again when it changes.",
        group="Security",
    )
    tls_key: Path | None = _setting(
        (None, "PEM file"),
        "Private key of the certificate.",
    )
    tls_client_ca: Path | None = _setting(
        (None, "PEM file"),
        "Certificate authority of the clients. Only clients with a certificate from it may connect (mutual "
        "TLS).",
    )
    tokens: Path | None = _setting(
        (None, "file"),
        "Tokens that the server accepts, a line each, made by `inkstream-server token`. Calls without one "
        "of them are refused. The server reads the file again when it changes.",
    )
    insecure_listen: bool = _setting(
        (False, "flag"),
        "Listen without TLS on an address that others can reach. Anyone on the network can then read and "
        "change the traffic. Use it only on networks that you trust, for example behind a proxy.",
    )
    max_connections: int = _setting(
        (16_384, "connections", 1, 1_000_000),
        "Most connections that may be open. The server closes further ones. Raise it for more devices; an "
        "idle device with a stream takes some 56 kB.",
    )
    max_streams: int = _setting(
        (16_384, "streams", 1, 1_000_000),
        "Most streams that may be open. The server refuses further ones. Raise it together with "
        "--max-connections.",
    )
    max_streams_per_connection: int = _setting(
        (1024, "streams", 1, 1_000_000),
        "Most calls that one connection may have open. Further ones wait. Raise it if a proxy sends more "
        "streams over one connection.",
    )
    max_stream_idle: float = _setting(
        (900.0, "seconds", 0.1, 31_536_000),
        "How long a stream may be idle, with nothing sent and no answer pending, before the server ends it. "
        "Raise it for devices that pause longer and cannot open another stream.",
    )
    max_stream_age: float = _setting(
        (86_400.0, "seconds", 0.1, 31_536_000),
        "How long a stream may be open. Each stream ends up to a tenth earlier, at random. Lower it so that "
        "streams move to new hosts sooner.",
    )
    max_header_bytes: int = _setting(
        (8192, "bytes", 1024, 2**20),
        "Most bytes in the headers of a call, its token included. Raise it for long tokens.",
    )
    max_memory: int = _setting(
        (0, "bytes", 0, 2**50),
        "Most memory that the process should take, everything included. Beyond it the server refuses new "
        "streams and calls, and then ends the streams that hold most. Lower it if other programs share the "
        "machine. 0 takes 75 % of the memory of the machine or the container, divided by --workers.",
    )
    max_connection_memory: int = _setting(
        (256 * 1024 * 1024, "bytes", 2**20, 2**50),
        "Most memory of all streams and calls of a connection. Raise it for a proxy that sends very many.",
    )
    max_stream_memory: int = _setting(
        (8 * 1024 * 1024, "bytes", 2**20, 2**40),
        "Most memory that one stream or call should take: messages, ink and answers. At three eighths of it "
        "the server stops reading the stream, and refuses ink. At least twice --max-message-bytes.",
    )
    model: str = _setting(
        ("digits", "name[/version]"),
        "Model to serve. Without a version it is the newest one, or the one that the store pins.",
        group="Model",
    )
    model_store: Path = _setting(
        (BUNDLED, "folder"),
        "Folder of models, as <name>/<version>/{model.*, card.json}.",
    )
    model_poll: float = _setting(
        (2.0, "seconds", 0, 3600),
        "How often to look for another version. The server tries a version whose files are the same at two "
        "looks in a row, and swaps it in. Raise it if listing the folder is slow. 0 never looks, as if "
        "--model named a version.",
    )
    model_timeout: float = _setting(
        (60.0, "seconds", 0.1, 3600),
        "How long the trial of a version may take. A separate process of low priority loads and tries it; a "
        "version that takes longer is refused. Raise it for the keras engine on a busy machine.",
    )
    engine: str = _setting(
        ("litert", "|".join(ENGINES)),
        "Engine that computes the answers. keras is the reference, and many times slower.",
    )
    workers: int = _setting(
        (1, "processes", 1, 256),
        "Number of processes that serve, best one for each core. A connection stays with one process, so "
        "more processes do not help a single client.",
        group="Process",
    )
    pin: bool = _setting(
        (False, "flag"),
        "Keep each process on a core of its own. Use it if nothing else runs on the machine.",
    )
    max_restarts: int = _setting(
        (5, "times", 0, 100),
        "How often in a row a worker is restarted that dies within a minute of its start. After that the "
        "server stops. 0 leaves restarts to the service manager.",
    )
    stuck_timeout: float = _setting(
        (30.0, "seconds", 0, 3600),
        "How long the event loop may be blocked, or the engine busy with one batch. After that the process "
        "ends with exit code 70, so that it can be restarted. Raise it for a slower engine. 0 waits for "
        "ever.",
    )
    max_batch: int = _setting(
        (256, "items", 1, 256),
        "Most items in a batch. Lower it so that a batch delays the next one less.",
        group="Batching",
    )
    linger_ms: float = _setting(
        (8.0, "milliseconds", 0, 1000),
        "Longest time that a batch waits to grow while the process is busy. A batch does not wait if all "
        "callers pause or the server is idle. 0 never waits.",
    )
    max_queue: int = _setting(
        (16384, "images", 1, 10_000_000),
        "Most images that may wait in the queue, over all streams, or as much work. Further items are "
        "refused. A glyph that two networks read is the work of 10 to 20 images, by their measured times. At "
        "100,000 images a second the default is a wait of 0.16 s; lower it to refuse earlier.",
    )
    window: int = _setting(
        (4096, "items", 1, 1_000_000),
        "Most unanswered items of one stream. At this number the server stops reading the stream until it "
        "has answered some. Lower it to bound the memory of a stream.",
        group="Streams",
    )
    stall_timeout: float = _setting(
        (30.0, "seconds", 0.01, 3600),
        "How long a client may leave answers unread before the server ends its stream. Raise it for clients "
        "that pause.",
    )
    max_frames_per_message: int = _setting(
        (1024, "items", 1, 65536),
        "Most frames in one message. Raise it for clients that pack more.",
    )
    max_message_bytes: int = _setting(
        (4 * 1024 * 1024, "bytes", 4096, 2**30),
        "Largest message that the server reads. 1024 float frames take 3.2 MB. Raise it together with "
        "--max-frames-per-message.",
    )
    quiet_ms: int = _setting(
        (QUIET_MS, "milliseconds", 1, 60_000),
        "Pause after which a digit of a pen is final. Raise it for slow writers. A pen may choose its own.",
        group="Ink",
    )
    short_quiet_ms: int = _setting(
        (0, "milliseconds", 0, 60_000),
        "Pause after which a digit is final that people rarely continue: 0 2 3 6 8 9. At most --quiet-ms. "
        "Raise it if such digits are cut short. 0 stands for 250, or for --quiet-ms if that is not 600.",
    )
    max_pens: int = _setting(
        (4096, "pens", 1, 1_000_000),
        "Most pens that one stream may have open. Raise it for a gateway with more writers.",
    )
    max_points: int = _setting(
        (1_000_000, "points", 1, 100_000_000),
        "Most points that the open digits of one stream may hold. Each takes 10 bytes of the stream's "
        "memory, so --max-stream-memory may be reached before.",
    )
    drain_timeout: float = _setting(
        (10.0, "seconds", 0, 3600),
        "How long streams may continue after SIGTERM before the server ends them. Raise it for clients that "
        "leave slowly. The service manager must wait longer than this before it kills the server.",
        group="Stopping",
    )
    log_format: str = _setting(
        ("text", "text|json"),
        "Format of the log on stderr. Use json if a machine reads it.",
        group="Watching",
    )
    log_level: str = _setting(
        ("info", "debug|info|warning|error"),
        "Lowest level that is logged. debug adds a line when a stream begins and when it ends.",
    )
    traces: str = _setting(
        ("off", "off|console|otlp"),
        "Where the spans of calls, items and batches go: to stdout, or to the collector that "
        "OpenTelemetry's variables OTEL_* name. Needs inkstream-server[otel].",
    )
    trace_ratio: float = _setting(
        (0.001, "part", 0, 1),
        "Share of the calls that are traced, unless the caller's trace context decides. A stream is one "
        "call, and each of its messages is a span.",
    )
    ready_file: Path | None = _setting(
        (None, "file"),
        "File that the server writes when it is ready: one JSON object with address, metrics and pid. Use "
        "it in scripts that start a server.",
    )

    def __post_init__(self) -> None:
        """Check all values.

        Raises:
            ValueError: a value cannot work; names the setting, its value and what is expected.
        """
        for setting in settings():
            value, between = getattr(self, setting.name), setting.metadata["between"]
            if between and not between[0] <= value <= between[1]:
                raise ValueError(
                    f"{setting.name}: expected {between[0]} to {between[1]}, got {value}"
                )
        for name in ("host", "metrics_host"):
            try:
                getattr(self, name).encode("idna")
            except UnicodeError:
                raise ValueError(
                    f"{name}: expected an address or a name of this machine, got "
                    f"'{shown(getattr(self, name))}', which can be no name: each part has 1 to 63 characters"
                ) from None
        for name, needed in (
            ("tls_key", "tls_cert"),
            ("tls_cert", "tls_key"),
            ("tls_client_ca", "tls_cert"),
        ):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ValueError(f"{needed}: expected a file, because {name} is set; got none")
        if self.max_frames_per_message > self.max_queue:
            raise ValueError(
                f"max_queue: expected at least max_frames_per_message "
                f"({self.max_frames_per_message}), got {self.max_queue}"
            )
        if self.max_stream_memory < 2 * self.max_message_bytes:
            raise ValueError(
                f"max_stream_memory: expected at least twice max_message_bytes "
                f"({self.max_message_bytes}), got {self.max_stream_memory}"
            )
        if not self.short_quiet_ms:
            short = SHORT_QUIET_MS if self.quiet_ms == QUIET_MS else self.quiet_ms
            # Set here, so that `inkstream-server config` shows the value that is used.
            object.__setattr__(self, "short_quiet_ms", short)
        if self.short_quiet_ms > self.quiet_ms:
            raise ValueError(
                f"short_quiet_ms: expected at most quiet_ms ({self.quiet_ms}), "
                f"got {self.short_quiet_ms}; lower it or raise quiet_ms"
            )


def settings() -> tuple[Field[Any], ...]:
    """Give all fields of `Config`, in the order of `--help`."""
    return fields(Config)


def grouped() -> dict[str, list[Field[Any]]]:
    """Give the fields of `Config` by their heading."""
    groups: dict[str, list[Field[Any]]] = {}
    heading = ""
    for setting in settings():
        heading = setting.metadata["group"] or heading
        groups.setdefault(heading, []).append(setting)
    return groups


def variable_of(setting: Field[Any]) -> str:
    """Name the environment variable of a setting."""
    return "INKSTREAM_" + setting.name.upper()
