"""Measures the server's speed beside a bare gRPC echo. Each module here is a command: see `--help`."""
