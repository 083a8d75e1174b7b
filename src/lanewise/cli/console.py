"""Where commands talk to people; standard output is for what programs read."""

from rich.console import Console

stderr = Console(stderr=True, highlight=False, soft_wrap=True)
