"""Speed of a server beside the floor of its transport. `python -m benchmarks --help`."""
