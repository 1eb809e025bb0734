"""Plays recorded or simulated ink as if somebody wrote it.

Leaves showing the answers to `display`.
"""
