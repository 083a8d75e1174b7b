"""Where commands talk to people: what was found on standard output, how it goes on standard error."""

from lanewise.report.terminal.console import SafeConsole

stderr = SafeConsole(stderr=True, soft_wrap=True)
stdout = SafeConsole(soft_wrap=True)
"""Terminals, or what stands for them, that show nothing which would steer them."""


def results(as_json: bool) -> SafeConsole:
    """Where results in words go: standard output, or standard error where that is kept for JSON."""
    return stderr if as_json else stdout
