"""Serves what one process needs beside gRPC: HTTP pages, ready file, watchdog and CPU affinity.

Imports no gRPC, because the supervisor of workers uses it too.
"""
