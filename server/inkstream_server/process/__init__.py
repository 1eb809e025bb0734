"""What belongs to one process: its HTTP pages, ready file, watchdog and CPU affinity.

Imports no gRPC, because the supervisor of workers uses it, too.
"""
