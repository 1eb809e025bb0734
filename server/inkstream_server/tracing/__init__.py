"""Traces by OpenTelemetry: a span for each call, each message of items or glyph in it, and each batch.

Where traces are off none of this is imported, and nothing else knows of it. Where they are on, whether a
call is recorded is decided once, when it begins; the messages of one that is not run as without traces.
"""
