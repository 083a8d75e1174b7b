"""What a race decided by its budget: on record before it takes effect, so that a race that goes on decides the same."""

from collections.abc import Callable, Mapping
from typing import Any

Decision = dict[str, int]


class Decisions:
    """Decisions by name: those on record are taken again, others are made, and written before anybody acts on them.

    Args:
        known: those on record. write: gets all of them whenever one was made.

    >>> seen = []
    >>> decisions = Decisions({"generation 1": {"candidates": 7}}, seen.append)
    >>> decisions.take("generation 1", lambda: {"candidates": 9})
    {'candidates': 7}
    >>> decisions.take("generation 2", lambda: {"candidates": 9}), len(seen)
    ({'candidates': 9}, 1)
    """

    def __init__(
        self, known: Mapping[str, Decision] | None = None, write: Callable[[dict[str, Any]], None] = lambda made: None
    ) -> None:
        self.made = dict(known or {})
        self._write = write

    def take(self, name: str, decide: Callable[[], Decision]) -> Decision:
        """The decision called `name`."""
        if name not in self.made:
            made = self.made | {name: decide()}
            self._write(made)
            self.made = made
        return self.made[name]
