"""A schedule as a curve, with matplotlib."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw(table: NDArray[np.float64], label: str, axes: Any = None) -> Any:
    """Draw a run's values, one per step, into matplotlib axes (new ones if None); returns the axes.

    Raises:
        ImportError: matplotlib is not installed; the message names the extra that brings it.
    """
    if axes is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError("plotting needs matplotlib: pip install 'lanewise[plot]'") from error
        _, axes = pyplot.subplots()
    # Each value holds from its step until the next one.
    axes.step(np.arange(len(table)), table, where="post", label=label)
    axes.set_xlabel("step")
    axes.legend()
    return axes
