"""The command line: `lanewise race`, `resume`, `list`, `compare`, `ablate`, `sweep`, `train` and `show`."""

from lanewise.cli.app import app, main

__all__ = ["app", "main"]
