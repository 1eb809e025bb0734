"""Every setting of a server: its flag, its environment variable, its default, and when to change it."""

from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

BUNDLED = Path(__file__).parent / "models"
"""The models that come with the package."""

QUIET_MS = 600
SHORT_QUIET_MS = 250
"""Where nobody chooses any; `pens.settings.QuietTimes` says why."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """How to make one kind of engine."""

    file: str
    """The file of a version that it runs, for example "model.tflite"."""
    factory: str
    """"module:name" of what makes the engine from that file's path and content. The module is imported when
    the engine is chosen: TensorFlow takes seconds and hundreds of MB."""
    trial_bytes: int
    """Most memory that the process which tries a version may take. The bundled models take 0.1 GB with litert
    and 0.4 GB with keras; TensorFlow reserves memory for each core."""


ENGINES = {
    "litert": EngineKind(
        "model.tflite", "inkstream_server.engines.litert:LiteRTEngine", 512 * 1024**2
    ),
    "keras": EngineKind("model.keras", "inkstream_server.engines.keras:KerasEngine", 8 * 1024**3),
}
"""Every engine by its name in `--engine`."""


def _setting(
    default: object,
    unit: str,
    about: str,
    *,
    group: str = "",
    between: tuple[float, float] | None = None,
    secret: bool = False,
) -> Any:
    """Describe a setting once, for flags, help, checks and the reference page.

    Args:
        default: what holds where nobody says otherwise.
        unit: what the value counts; "a|b" are the only values, "flag" is on or off.
        about: what it does and when to change it, in sentences.
        group: heading that it and those after it stand under; only the first of them names it.
        between: least and most that is allowed.
        secret: whether to keep the value from every screen and log.
    """
    return field(
        default=default,
        metadata={
            "unit": unit,
            "help": about,
            "group": group,
            "between": between,
            "secret": secret,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of `inkstream-server serve`.

    Field `max_batch` is flag `--max-batch` and variable `INKSTREAM_MAX_BATCH`; the flag wins.
    The text of each field stands in its metadata, so that `--help` says the same.
    """

    host: str = _setting(
        "127.0.0.1",
        "address",
        "Where to listen. Other than loopback needs --tls-cert, or --insecure-listen.",
        group="Serving",
    )
    port: int = _setting(50051, "port", "Where to listen; 0 picks a free port.", between=(0, 65535))
    metrics_host: str = _setting(
        "127.0.0.1",
        "address",
        "Where Prometheus finds /metrics. Set it where Prometheus runs elsewhere; nothing guards the page.",
    )
    metrics_port: int = _setting(9464, "port", "The same; 0 picks a free port.", between=(0, 65535))
    tls_cert: Path | None = _setting(
        None,
        "PEM file",
        "The server's certificate chain: encrypts. Read again when it changes.",
        group="Security",
    )
    tls_key: Path | None = _setting(None, "PEM file", "The key of the certificate.")
    tls_client_ca: Path | None = _setting(
        None, "PEM file", "Lets in only clients with a certificate of this authority (mutual TLS)."
    )
    tokens: Path | None = _setting(
        None,
        "file",
        "Lets in only callers with a token that this file names; `inkstream-server token` makes its "
        "lines. Read again when it changes.",
    )
    insecure_listen: bool = _setting(
        False,
        "flag",
        "Listen without TLS where others can reach the port, and read and forge what passes. For "
        "networks that are yours, as behind a proxy.",
    )
    max_connections: int = _setting(
        16_384,
        "connections",
        "Most connections that may be open; further ones are hung up on. Raise it for more devices, at some "
        "56 kB for one that idles on a stream.",
        between=(1, 1_000_000),
    )
    max_streams: int = _setting(
        16_384,
        "streams",
        "Most streams that may be open; beyond it a stream is refused. Raise it with --max-connections.",
        between=(1, 1_000_000),
    )
    max_streams_per_connection: int = _setting(
        1024,
        "streams",
        "Most calls that one connection may have open; further ones wait. Raise it where a proxy brings more "
        "streams over a connection.",
        between=(1, 1_000_000),
    )
    max_stream_idle: float = _setting(
        900.0,
        "seconds",
        "How long a stream may bring nothing and be owed nothing. Raise it for devices that rest longer and "
        "cannot open another stream.",
        between=(0.1, 31_536_000),
    )
    max_stream_age: float = _setting(
        86_400.0,
        "seconds",
        "How long a stream may be open; up to a tenth less, at random. Lower it so that streams move to "
        "hosts that were added.",
        between=(0.1, 31_536_000),
    )
    max_header_bytes: int = _setting(
        8192,
        "bytes",
        "Most that the headers of a call may take, a token among them. Raise it for long tokens.",
        between=(1024, 2**20),
    )
    model: str = _setting(
        "digits",
        "name[/version]",
        "Which model to serve; the newest version if none is named.",
        group="Model",
    )
    model_store: Path = _setting(
        BUNDLED, "folder", "Where models lie, as <name>/<version>/{model.*, card.json}."
    )
    model_poll: float = _setting(
        2.0,
        "seconds",
        "How often to look for a newer version, or a pinned one; what looks the same twice is checked and "
        "swapped in. Raise it where listing the folder is slow. 0 to never look, as when --model names a "
        "version.",
        between=(0, 3600),
    )
    model_timeout: float = _setting(
        60.0,
        "seconds",
        "How long a version may take to be loaded and tried, in a process of its own that stands back from "
        "this one, until it is refused. Raise it for the keras engine on a busy machine.",
        between=(0.1, 3600),
    )
    engine: str = _setting(
        "litert", "|".join(ENGINES), "What computes. keras is the reference, and many times slower."
    )
    workers: int = _setting(
        1,
        "processes",
        "How many processes serve, best one a core. A connection stays with one of them, so a single "
        "client gains nothing.",
        group="Process",
        between=(1, 256),
    )
    pin: bool = _setting(
        False,
        "flag",
        "Keep each process on a core of its own. Set it where nothing else runs here.",
    )
    max_restarts: int = _setting(
        5,
        "times",
        "How often in a row a worker that dies within a minute is started again, until the server gives "
        "up. 0 to leave restarts to who started the server.",
        between=(0, 100),
    )
    stuck_timeout: float = _setting(
        30.0,
        "seconds",
        "How long the event loop may be held up, or the engine be at one batch, until the process ends "
        "with exit code 70, so that another takes its place. Raise it for an engine that is slower; 0 to "
        "wait for ever.",
        between=(0, 3600),
    )
    max_batch: int = _setting(
        256,
        "items",
        "Most items a batch. Lower it to bound how long one batch holds up the next.",
        between=(1, 256),
        group="Batching",
    )
    linger_ms: float = _setting(
        8.0,
        "milliseconds",
        "Most that items wait for company while the process is busy, so that batches and answers "
        "are larger; they go at once when nobody speaks, or when the server is idle. 0 to never wait.",
        between=(0, 1000),
    )
    max_queue: int = _setting(
        16384,
        "items",
        "Most items that may wait, over all streams; beyond it items are refused. "
        "At 100,000 items a second the default is a wait of 0.16 s; lower it to refuse sooner.",
        between=(1, 10_000_000),
    )
    window: int = _setting(
        4096,
        "items",
        "Most items of one stream that may be unanswered. Lower it to bound memory a stream.",
        between=(1, 1_000_000),
        group="Streams",
    )
    stall_timeout: float = _setting(
        30.0,
        "seconds",
        "How long a caller may read no answers before its stream is ended; its window bounds what waits. "
        "Raise it for callers that pause.",
        between=(0.01, 3600),
    )
    max_frames_per_message: int = _setting(
        1024,
        "items",
        "Most frames that one message may carry. Raise it for callers that pack more.",
        between=(1, 65536),
    )
    max_message_bytes: int = _setting(
        4 * 1024 * 1024,
        "bytes",
        "Largest message that is read; 1024 float frames are 3.2 MB. Raise it with "
        "--max-frames-per-message.",
        between=(4096, 2**30),
    )
    quiet_ms: int = _setting(
        QUIET_MS,
        "milliseconds",
        "Pause after which a digit of a pen is final. Raise it for slow writers; pens may choose.",
        between=(1, 60_000),
        group="Ink",
    )
    short_quiet_ms: int = _setting(
        0,
        "milliseconds",
        "The same for digits that are rarely continued: 0 2 3 6 8 9; at most --quiet-ms. Raise it where they "
        "are cut short. 0 for 250, or for as long as --quiet-ms where that is not 600.",
        between=(0, 60_000),
    )
    max_pens: int = _setting(
        4096,
        "pens",
        "Most pens that one stream may have open. Raise it for a gateway of more writers.",
        between=(1, 1_000_000),
    )
    max_points: int = _setting(
        1_000_000,
        "points",
        "Most points that the open digits of one stream may hold; a million is 16 MB. Lower it to bound "
        "memory a stream.",
        between=(1, 100_000_000),
    )
    drain_timeout: float = _setting(
        10.0,
        "seconds",
        "How long streams may go on after SIGTERM before they are ended. Raise it for callers who are slow "
        "to leave; who stops the server has to wait longer still.",
        between=(0, 3600),
        group="Stopping",
    )
    log_format: str = _setting(
        "text",
        "text|json",
        "How log lines on stderr look. json where a machine reads them.",
        group="Watching",
    )
    log_level: str = _setting(
        "info",
        "debug|info|warning|error",
        "Least level that is logged. debug adds a line for each stream that begins or ends.",
    )
    traces: str = _setting(
        "off",
        "off|console|otlp",
        "Where spans of calls, items and batches go: to stdout, or to a collector that OpenTelemetry's "
        "own OTEL_* variables name. Needs the extra [otel].",
    )
    trace_ratio: float = _setting(
        0.001,
        "part",
        "Which part of the calls is traced, where the caller's trace context does not decide. A stream "
        "is one call, and each of its messages a span.",
        between=(0, 1),
    )
    ready_file: Path | None = _setting(
        None,
        "file",
        "Gets one JSON object (address, metrics, pid) when the server is ready. For scripts that start it.",
    )

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ValueError: names the setting, its value and what is wanted.
        """
        for setting in settings():
            value, between = getattr(self, setting.name), setting.metadata["between"]
            if between and not between[0] <= value <= between[1]:
                raise ValueError(
                    f"{setting.name}: expected {between[0]} to {between[1]}, got {value}"
                )
        for name, needed in (
            ("tls_key", "tls_cert"),
            ("tls_cert", "tls_key"),
            ("tls_client_ca", "tls_cert"),
        ):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ValueError(f"{needed}: expected beside {name}, got none")
        if self.max_frames_per_message > self.max_queue:
            raise ValueError(
                f"max_queue: expected at least max_frames_per_message "
                f"({self.max_frames_per_message}), got {self.max_queue}"
            )
        if not self.short_quiet_ms:
            short = SHORT_QUIET_MS if self.quiet_ms == QUIET_MS else self.quiet_ms
            # Frozen for everybody else; what is shown and what holds are to be the same.
            object.__setattr__(self, "short_quiet_ms", short)
        if self.short_quiet_ms > self.quiet_ms:
            raise ValueError(
                f"short_quiet_ms: expected at most quiet_ms ({self.quiet_ms}), "
                f"got {self.short_quiet_ms}; raise quiet_ms to as much"
            )


def settings() -> tuple[Field[Any], ...]:
    """Give all fields of `Config`, in the order in which people should meet them."""
    return fields(Config)


def grouped() -> dict[str, list[Field[Any]]]:
    """Give the fields of `Config` by the heading that they stand under."""
    groups: dict[str, list[Field[Any]]] = {}
    heading = ""
    for setting in settings():
        heading = setting.metadata["group"] or heading
        groups.setdefault(heading, []).append(setting)
    return groups


def variable_of(setting: Field[Any]) -> str:
    """Name the environment variable of a setting."""
    return "INKSTREAM_" + setting.name.upper()
