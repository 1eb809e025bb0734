"""Starts tracing, if it is on. Loads OpenTelemetry only then."""

import os
from typing import TYPE_CHECKING

from inkstream_server.config import Config
from inkstream_server.errors import StartError

if TYPE_CHECKING:
    from inkstream_server.tracing.traces import Traces


def start_traces(config: Config) -> "Traces | None":
    """Make what traces need; None, and nothing is imported, if they are off.

    Raises:
        StartError: OpenTelemetry is missing, or refuses its variables.
    """
    if config.traces == "off":
        return None
    try:
        from inkstream_server.tracing.traces import Traces, exporter

        return Traces(exporter(config.traces), config.trace_ratio)
    except ImportError as missing:
        raise StartError(
            f"traces: {config.traces} needs OpenTelemetry ({missing}): pip install 'inkstream-server[otel]'"
        ) from missing
    except Exception as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith("OTEL_")))
        raise StartError(
            f"traces: OpenTelemetry refuses its variables ({error}): correct or unset {names or 'them'}"
        ) from error
