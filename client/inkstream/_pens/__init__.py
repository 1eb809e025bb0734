"""Takes ink to the server and answers back to the pens, across broken streams.

Leaves the stream itself to `_connection`.
"""
