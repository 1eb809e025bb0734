"""Gathers the frames of all streams into batches, and runs the engine on them.

Knows arrays and futures. Leaves messages to `wire`, ink to `pens`, and models to `model_store`.
"""
