"""Where the progress of a run started from Python goes: to the user's observer, to standard error, or nowhere."""

import contextlib
from collections.abc import Callable, Iterator

from lanewise.errors import InputError
from lanewise.report.terminal.console import SafeConsole
from lanewise.study.progress import Observer


@contextlib.contextmanager
def watching(observer: Observer | None, progress: bool | None) -> Iterator[Observer]:
    """The observer of a run, until it is over.

    Args:
        observer: gets every event, if there is one; nothing is shown then. progress: whether to show events on standard
            error; None for where that is a terminal or a notebook.
    """
    if observer is not None:
        check_progress(progress)
        yield observer
    elif not shown(progress):
        yield Observer()
    else:
        from lanewise.report.terminal import race as terminal

        with terminal.observer(_console()) as display:
            yield display


def step_lines(progress: bool | None) -> Callable[[int, int, float], None]:
    """What shows (steps done, steps in all, training loss) as a line on standard error, where that is to be shown."""
    if not shown(progress):
        return lambda step, steps, loss: None
    console = _console()
    return lambda step, steps, loss: console.print(f"step {step:,} of {steps:,}, training loss {loss:.4f}")


def shown(progress: bool | None) -> bool:
    """Whether progress is shown: as given, by default where standard error is a terminal or a notebook."""
    check_progress(progress)
    if progress is not None:
        return progress
    console = SafeConsole(stderr=True)
    return console.is_jupyter or console.is_terminal


def check_progress(progress: object) -> None:
    """Raise `InputError` unless it is True, False or None."""
    if progress is not None and not isinstance(progress, bool):
        raise InputError(f"progress = {progress!r}: must be True, False or None")


def _console() -> SafeConsole:
    # A notebook takes plain lines on standard error; a table drawn again and again needs ipywidgets there.
    return SafeConsole(stderr=True, soft_wrap=True, force_jupyter=False)
