"""Decides how far an answer can be trusted: when a digit is rejected, and what is odd about an image.

Leaves computing the probabilities to `batching`.
"""
