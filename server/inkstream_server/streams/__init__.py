"""Runs one stream: reads its messages, limits what it may hold, and writes its answers in order.

Leaves ink to `pens` and computing to `batching`.
"""
