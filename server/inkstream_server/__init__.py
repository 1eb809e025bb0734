"""The server of inkstream: digits in over gRPC streams, answers out, seen by Prometheus.

The path of a message: `service` (gRPC) -> `session` (one stream) -> `tensors` (wire to arrays) ->
`batching` (all streams into one batch) -> `engines` (arrays to probabilities) -> `answers` (arrays to
wire). Beside it: `model_store`, `metrics`, `config`, `lifecycle` and the command line in `cli`.
"""

from importlib.metadata import version

__version__ = version("inkstream-server")
