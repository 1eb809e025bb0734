"""Runs the command line as `python -m inkstream`."""

from inkstream.cli import main

if __name__ == "__main__":
    main()
