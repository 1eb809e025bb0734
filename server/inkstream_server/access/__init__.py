"""Decides which callers may call, and how much: TLS, tokens, and the quota of a token.

Leaves open streams and their limits to `streams`.
"""
