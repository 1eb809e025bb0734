"""The server of inkstream: recognises handwritten digits over gRPC streams.

A message passes `rpc` (gRPC), `streams` (one stream), `wire` (messages to arrays) or `pens` (events to
glyphs), `batching` (all streams into one batch) and `engines` (arrays to probabilities). On the way back
`confidence` judges the answer and `wire` writes it. `server` runs one process, `workers` several;
docs/architecture.md shows all rooms.
"""

from importlib.metadata import version

__version__ = version("inkstream-server")
