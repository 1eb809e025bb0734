"""`python -m inkstream_server` is `inkstream-server`."""

from inkstream_server.cli import main

if __name__ == "__main__":
    main(prog_name="inkstream-server")
