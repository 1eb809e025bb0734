"""Keeps one stream to a server at a time and opens the next one when it breaks.

Leaves what a stream carries to `_images` and `_pens`.
"""
