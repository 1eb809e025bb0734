"""Counts what callers take of the process, in bytes and in microseconds, and shares it out.

Knows numbers only; leaves what is held or computed, and what a refusal looks like, to the rooms that do it.
"""
