"""Takes gRPC calls in and writes their answers out.

Leaves a stream to `streams`, ink to `pens`, and computing to `batching`.
"""
