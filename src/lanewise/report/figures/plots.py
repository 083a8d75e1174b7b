"""What all figures of the report share: how a figure is held, its colours, its axes, and the words it shows on hover.

A figure is plain data for Plotly's JavaScript. A colour is written as a CSS variable of the page (`--c1`, or `--c1@0.2`
for one that is 20% opaque), which the page replaces, so that every figure follows the reader's light or dark theme.
"""

import math
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from lanewise.recipe.recipe import Recipe
from lanewise.report.escape import escape
from lanewise.verdict.recipe_words import describe

Json: TypeAlias = dict[str, Any]

PALETTE = 6
"""Colours for finalists: Okabe and Ito's palette, which people with colour blindness can distinguish."""
DASHES = ("solid", "dash", "dot")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
WORDS_IN_A_LINE = 48
CLEAR = "rgba(0,0,0,0)"


@dataclass(frozen=True)
class Figure:
    """One figure of the report, perhaps in several variants that the reader switches between.

    Attributes:
        name: unique in the page. title: says what one sees. caption: how to read it. height: pixels.
        toggles: groups of labels; one of each group is chosen, the first at the start.
        variants: for every combination of choices ("0-1" is the first of the first group and the second of the
            second), what Plotly is given: `data` and `layout`.
    """

    name: str
    title: str
    caption: str
    height: int
    variants: dict[str, Json]
    toggles: tuple[tuple[str, ...], ...] = ()
    wide: bool = field(default=True)


def colour(place: int) -> str:
    """The colour of the finalist at `place`, from 0: the winner's first."""
    return f"--c{place % PALETTE + 1}"


def dash(place: int) -> str:
    """The line style of the finalist at `place`: when the colours begin again, the style changes."""
    return DASHES[place // PALETTE % len(DASHES)]


def layout(height: int, **more: Any) -> Json:
    """A calm layout: no frame, no legend, room for the axes only."""
    calm: Json = {
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 34, "b": 8},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12.5, "color": "--muted"},
        "hovermode": "closest",
        "hoverdistance": 24,
        "hoverlabel": {
            "bgcolor": "--card",
            "bordercolor": "--line",
            "font": {"color": "--ink", "family": FONT, "size": 12.5},
            "align": "left",
        },
        "showlegend": False,
        "dragmode": False,
    }
    return calm | more


def axis(title: str = "", *, grid: bool = False, **more: Any) -> Json:
    """An axis without ornament; a title stands below a horizontal axis (see `above` for the vertical one)."""
    bare: Json = {
        "title": {"text": plain(title), "standoff": 10, "font": {"size": 12.5}},
        "showgrid": grid,
        "gridcolor": "--grid",
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "automargin": True,
        "fixedrange": True,
    }
    return bare | more


def above(text: str) -> Json:
    """The vertical axis's title, written level above it, where it is read without turning one's head."""
    return {
        "text": plain(text),
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 10,
        "showarrow": False,
    }


def log_ticks(low: float, high: float, most: int = 12) -> Json:
    """At most about `most` ticks of a logarithmic axis from `low` to `high` > 0: at 1, 2 and 5, or at decades alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = max(1, last - first)
    steps = (1, 2, 5) if 3 * decades <= most else (1,)
    stride = max(1, -(-decades // most))
    values = [step * 10.0**power for power in range(first, last + 1, stride) for step in steps]
    return {"tickvals": values, "ticktext": [f"{value:.12g}" if value >= 1e-3 else f"{value:.0e}" for value in values]}


def hover_name(number: int, recipe: Recipe, state: str = "") -> str:
    """The candidate and its recipe for a hover label, broken into lines; `<` and `&` stay text."""
    lines = [""]
    for phrase in describe(recipe).split(" · "):
        if lines[-1] and len(lines[-1]) + len(phrase) > WORDS_IN_A_LINE:
            lines.append("")
        lines[-1] += f" · {phrase}" if lines[-1] else phrase
    head = f"candidate {number}{', ' if state else ''}{state}"
    return "<br>".join([f"<b>{plain(head)}</b>", *map(plain, lines)])


def plain(text: str) -> str:
    """`text` for a figure: Plotly reads a subset of HTML in its texts, so what looks like it is escaped."""
    return escape(text, quote=False)


def finite(values: ArrayLike) -> list[float | None]:
    """The values with six digits, None for NaN and infinities, which JSON does not know."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in np.asarray(values, dtype=float)]
