"""The command line: `lanewise race`, `lanewise resume`, `lanewise list`, `lanewise train`, `lanewise show`."""

from lanewise.cli.app import app, main

__all__ = ["app", "main"]
