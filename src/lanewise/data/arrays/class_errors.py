"""What is wrong with one class, said with its name where it has one."""

from collections.abc import Sequence

from lanewise.errors import InputError


class ClassError(InputError):
    """A class has too few rows.

    Args:
        label: its number. message: with `{}` where the class stands.

    >>> error = ClassError(1, "{} has 1 row")
    >>> print(error), print(error.named(("no", "yes")))
    class 1 has 1 row
    class 'yes' has 1 row
    (None, None)
    """

    def __init__(self, label: int, message: str) -> None:
        super().__init__(message.format(f"class {label}"))
        self.label, self.message = label, message

    def named(self, names: Sequence[str] | None) -> InputError:
        """The same, with the name of the class among `names`."""
        if names is None or not 0 <= self.label < len(names):
            return self
        return InputError(self.message.format(f"class {names[self.label]!r}"))
