"""Where commands talk to people; standard output is for what programs read."""

from lanewise.report.console import SafeConsole

stderr = SafeConsole(stderr=True, soft_wrap=True)
