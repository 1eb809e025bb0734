"""Prepares pen ink for training: real strokes split by writer, ink of no digit, and figures on both.

Reads from top to bottom as `sources` (files to glyphs) -> `splits` (held-out writers) -> `negatives` (ink
of no digit) -> `rendering` (glyphs to frames, by the server's code) -> `collection` (sets for training,
validation and test) -> `rejection` and `figures`.
"""
