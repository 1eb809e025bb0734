"""Gathers what all streams ask for into batches and runs the engine on them.

Knows arrays and futures; knows nothing of gRPC, ink or message formats.
"""
