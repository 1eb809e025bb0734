"""Writes recorded or simulated ink in real time, as a pen does.

Leaves showing the answers to `display`.
"""
