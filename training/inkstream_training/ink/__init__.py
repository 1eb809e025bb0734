"""Pen ink for training: real strokes split by writer, what is no digit, and the figures on both.

Reads from top to bottom as `sources` (files to glyphs) -> `splits` (who is held out) -> `negatives`
(what is no digit) -> `rendering` (glyphs to frames, by the server's own code) -> `collection` (the
sets a recipe learns from, chooses by and is tested on) -> `rejection` and `figures`.
"""
