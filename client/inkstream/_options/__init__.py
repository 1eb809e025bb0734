"""Holds and checks, once, everything that a caller may configure.

Opens no connection.
"""
