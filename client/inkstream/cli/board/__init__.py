"""Serves the page of `inkstream board`: pointer events in, answers out, a pen of one client for each page.

`batches` and `answers` read and write JSON, `sheets` and `mailbox` keep the open pages, `serving` is HTTP,
and `server_watch` reports whether the server answers. Leaves recognition to the client.
"""
