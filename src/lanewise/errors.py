"""The one exception a user's mistake raises, and how other errors are quoted in it."""


class InputError(ValueError):
    """What was given cannot be used; the message names the field, the value and what is allowed.

    The command line prints the message as one line and exits with status 2.
    """


class WriteError(InputError):
    """A file cannot be written: the disk is full, or the folder is not ours. What stood there is untouched."""


def one_line(error: BaseException) -> str:
    """The type and text of `error` on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
