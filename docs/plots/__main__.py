"""`python -m docs.plots` draws all plots of the cards anew, `python -m docs.plots cosine wsd` some."""

import sys
from pathlib import Path

from docs.plots import groups, norm, optimizers, regularisation, schedules
from docs.plots.style import Plot, drawn

FOLDER = Path(__file__).parents[1] / "cards" / "plots"
PLOTS: dict[str, Plot] = {**schedules.PLOTS, **optimizers.PLOTS, **norm.PLOTS, **regularisation.PLOTS, **groups.PLOTS}
"""Name of a card -> what draws its plot."""


def svg(name: str) -> str:
    """The text of the plot `name` as it belongs into its file."""
    return drawn(PLOTS[name])


def main() -> None:
    """Write the plots named on the command line, or all."""
    names = sys.argv[1:] or list(PLOTS)
    for name in names:
        if name not in PLOTS:
            sys.exit(f"no plot called {name!r}; there are: {', '.join(PLOTS)}")
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        (FOLDER / f"{name}.svg").write_text(svg(name), encoding="utf-8")


if __name__ == "__main__":
    main()
