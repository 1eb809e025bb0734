"""A server that reads further or less far ahead: `python -m benchmarks.servers.lookahead serve`.

The variable INKSTREAM_LOOKAHEAD names the bytes, or "probe" for gRPC's default: it measures the bandwidth.
"""

import os

from inkstream_server.cli import main
from inkstream_server.config import Config
from inkstream_server.rpc import listener

_OPTIONS = {"grpc.http2.bdp_probe", "grpc.http2.lookahead_bytes"}


def _options(config: Config, *, shares_port: bool) -> list[tuple[str, int]]:
    """See `listener.options`."""
    usual = [it for it in _usual(config, shares_port=shares_port) if it[0] not in _OPTIONS]
    wanted = os.environ["INKSTREAM_LOOKAHEAD"]
    if wanted == "probe":
        return usual
    return [*usual, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", int(wanted))]


if __name__ == "__main__":
    _usual, listener.options = listener.options, _options
    main()
