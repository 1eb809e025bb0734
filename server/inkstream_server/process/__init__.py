"""Serves what belongs to one process: metrics page, status page, ready file, watchdog, CPU affinity.

Imports no gRPC, because the supervisor of workers uses it too.
"""
