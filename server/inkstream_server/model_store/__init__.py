"""Finds, checks, loads and swaps the versions of a model in a folder.

Leaves running a model to `engines` and `batching`.
"""
