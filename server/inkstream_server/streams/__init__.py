"""Runs one stream: reads its messages, bounds what it may hold, and writes its answers in order.

Leaves gRPC to `rpc`, ink to `pens`, and computing to `batching`.
"""
