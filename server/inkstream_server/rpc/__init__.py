"""Speaks gRPC: opens the port, takes calls, and writes their answers.

Leaves the messages of a stream to `streams`, ink to `pens`, and computing to `batching`.
"""
