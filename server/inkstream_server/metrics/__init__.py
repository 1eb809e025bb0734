"""Counts what Prometheus scrapes: items, ink, batches, clients and gRPC calls.

Leaves serving the page to `process`.
"""
