"""Generates load and checks every answer: images, live pens, h2load, the client library.

Leaves to `cases/` what is measured, and to `servers/` how a server starts.
"""
