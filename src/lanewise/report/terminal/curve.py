"""A schedule drawn in the terminal, or as a PNG or SVG file."""

import io
from pathlib import Path

import numpy as np
import plotext
from numpy.typing import NDArray

from lanewise.base.files import write_whole
from lanewise.errors import InputError
from lanewise.parts.schedules.plot import draw

FORMATS = (".png", ".svg")
NARROWEST, TICKS = 30, 5


def in_terminal(table: NDArray[np.float64], title: str, width: int) -> str:
    """The run's values as lines of text, at most `width` characters wide."""
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(max(NARROWEST, min(width, 100)), 18)
    plotext.title(title)
    plotext.xlabel("step")
    plotext.plot(list(range(len(table))), table.tolist())
    # The library's own marks lie between two steps.
    steps = sorted({round(step) for step in np.linspace(0, len(table) - 1, TICKS)})
    plotext.xticks(steps, [f"{step:,}" for step in steps])
    # The library ends each line with a code that resets colours, of which there are none.
    return str(plotext.uncolorize(plotext.build()))


def to_file(table: NDArray[np.float64], title: str, path: Path) -> None:
    """Write the run's values as a picture.

    Raises:
        InputError: the name ends otherwise than in .png or .svg, matplotlib is not installed, or the file cannot be
            written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: must end in {' or '.join(FORMATS)}")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("drawing to a file needs matplotlib: pip install 'lanewise[plot]'") from None
    figure = Figure(figsize=(7, 4), layout="constrained")
    draw(table, title, figure.add_subplot())
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:].lower(), dpi=150)
    write_whole(path, picture.getvalue())
