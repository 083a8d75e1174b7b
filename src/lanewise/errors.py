"""The one exception a user's mistake raises, and how other errors are quoted in it."""

from collections.abc import Callable
from os import PathLike
from typing import Any

from lanewise.printable import cut, printable


class InputError(ValueError):
    """What was given cannot be used; the message names the field, the value and what is allowed.

    The command line prints the message as one line and exits with status 2. What the message quotes of a file or of the
    user is made printable, and a message of unusual length is cut in its middle.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(cut(printable(str(message))))


class WriteError(InputError):
    """A file cannot be written: the disk is full, or the folder is not ours. What stood there is untouched."""


def together(*checks: Callable[[], Any]) -> list[Any]:
    """What all `checks` return; where some fail, one error that names everything that is wrong.

    >>> together(lambda: 1, lambda: 2)
    [1, 2]
    """
    found: list[Any] = []
    wrong: list[InputError] = []
    for check in checks:
        try:
            found.append(check())
        except InputError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise InputError("; ".join(dict.fromkeys(map(str, wrong))))
    return found


def one_line(error: BaseException) -> str:
    """The type and text of `error` on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def a_type(value: Any) -> str:
    """What `value` is, for a message: `an int`, `the class Linear`.

    >>> a_type(3), a_type({}), a_type(int)
    ('an int', 'a dict', 'the class int')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"a{'n' * (name[0].lower() in 'aeiou')} {name}"


def check_path(where: str, value: Any) -> None:
    """Raise `InputError` unless `value`, which `where` was given, can be a path."""
    if not isinstance(value, (str, PathLike)):
        raise InputError(f"{where} is {a_type(value)}: must be a path")
