"""How a command ends that is stopped, or whose record cannot be written."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import typer

from lanewise.cli.console import stderr
from lanewise.errors import InputError, WriteError

STOPPED = 130


@contextlib.contextmanager
def resumable(path: Path, as_json: bool) -> Iterator[None]:
    """Stop at Ctrl-C, SIGTERM and SIGHUP with exit status 130 and the command that goes on with the run in `path`.

    What was found, where the disk has no room for it, is printed before that is said.
    """
    from lanewise.api.runs import UnrecordedError

    # What a background job ignores stays ignored.
    known = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    watched = [one for one in known if one is not None and signal.getsignal(one) is not signal.SIG_IGN]

    def stop(*_: object) -> None:
        # A second one would interrupt the stopping.
        for one in watched:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in watched}
    try:
        yield
    except KeyboardInterrupt:
        command = resume_command(path)
        # After a hang-up the terminal is gone.
        with contextlib.suppress(OSError):
            stderr.print(
                f"lanewise: stopped; all up to the last checkpoint is kept; go on with: {command}"
                if command
                else "lanewise: stopped",
                markup=False,
            )
        raise typer.Exit(STOPPED) from None
    except WriteError as error:
        if isinstance(error, UnrecordedError):
            from lanewise.cli.printing import print_words

            print_words(error.found, as_json)
        command = resume_command(path)
        raise InputError(f"{error}; once that is mended, go on with: {command}" if command else str(error)) from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def resume_command(path: Path) -> str:
    """The command that goes on with the run in `path`; empty if there is none to go on with."""
    from lanewise.record.folder import RunFolder

    with contextlib.suppress(InputError):
        folder = RunFolder.reopened(path)
        return "" if folder.finished else folder.resume_command()
    return ""


def leave() -> NoReturn:
    """End the process now; an ordinary end would wait for what the worker threads are at."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(STOPPED)
