"""Takes images to the server and answers back to the callers.

Leaves the stream itself to `_connection`.
"""
