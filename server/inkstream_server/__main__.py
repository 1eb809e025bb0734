"""The program `inkstream-server`, which is also `python -m inkstream_server`."""

from inkstream_server.process import signals


def main() -> None:
    """Run the command line."""
    # First, because what follows takes a moment to import.
    signals.hold_back()
    from inkstream_server.cli import main as command_line

    command_line(prog_name="inkstream-server")


if __name__ == "__main__":
    main()
