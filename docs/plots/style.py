"""What all plots share: small SVG files without a background, readable on light and on dark pages."""

import io
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

Axes: TypeAlias = Any
Plot: TypeAlias = Callable[[Axes], None]

BACKGROUNDS = ("#ffffff", "#0d1117")
"""GitHub's light and dark page."""
GREY = "#7d8590"
CYCLE = ("#3b82f6", "#d97706", "#16a34a", "#a855f7", "#ef4444")
COLOURS = (GREY, *CYCLE)

STYLE = {
    "svg.hashsalt": "lanewise",  # the names of clip paths are the same at every run
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; where it is missing, the reader's own sans-serif
    "font.size": 9,
    "lines.linewidth": 1.6,
    "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": "linecolor",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
}


def drawn(plot: Plot) -> str:
    """The SVG text of what `plot` draws into a pair of axes; the same text at every run."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        figure = Figure(figsize=(5.2, 2.6), layout="constrained")
        plot(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", buffer.getvalue())
    return "\n".join(line.strip() for line in text.splitlines()) + "\n"


def draw_cells(axes: Axes, filled: Any, left: float) -> None:
    """A grid of squares, row 0 at the top; those are coloured where `filled` [rows, columns] is true."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    for colour, wanted in (("none", False), (CYCLE[0], True)):
        corners = [(left + column, -row - 1) for row, column in np.argwhere(np.asarray(filled, dtype=bool) == wanted)]
        if corners:
            outline = Path.make_compound_path(*(Path(square + corner, closed=True) for corner in corners))
            axes.add_patch(PathPatch(outline, facecolor=colour, edgecolor=GREY, linewidth=0.6))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`, in [0, 1]."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
