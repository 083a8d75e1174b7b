"""A pruner of the user's own, whose answer is checked before anybody leaves the race."""

from typing import Any

import numpy as np

from lanewise.errors import InputError, one_line
from lanewise.printable import cut
from lanewise.racing.pruner import Pruner

OWN = "own: "
"""What the name of a pruner begins with that was given as a function and has no name in `PRUNERS` else."""


class OwnPruner:
    """`function` as a pruner: what it keeps are live candidates, each once, and at least one.

    Raises:
        InputError: when it is called: it raised, or returned something else.
    """

    def __init__(self, name: str, function: Pruner) -> None:
        self.name, self.function = name, function

    def __call__(self, scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
        where = f"pruner {self.name!r}"
        try:
            # Copies, for what it changes in them must not reach the race.
            kept: Any = np.asarray(self.function(scores.copy(), progress.copy(), live.copy(), compute))
        except Exception as error:
            raise InputError(f"{where}: raised {one_line(error)}") from error
        whole = kept.ndim == 1 and np.issubdtype(kept.dtype, np.integer)
        if not whole or not len(kept) or not np.isin(kept, live).all() or len(np.unique(kept)) < len(kept):
            raise InputError(
                f"{where}: returned {cut(repr(kept.tolist()), 200)}: must be an array of candidates out of "
                "live, each once and at least one"
            )
        return np.sort(kept)
