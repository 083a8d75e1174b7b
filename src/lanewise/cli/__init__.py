"""The command line: `lanewise race`, `lanewise resume`, `lanewise train`, `lanewise show`."""

from lanewise.cli.app import app, main

__all__ = ["app", "main"]
