"""The plots of groups of parameters and of layer-wise learning rates."""

import numpy as np

import lanewise as lw
from docs.plots.style import Axes, Plot
from lanewise.lanes.step.numbers import number_names, tabulate_recipe

STEPS = 200


def groups(axes: Axes) -> None:
    """The learning rate of the head, of a backbone that is frozen at first, and of all other parameters."""
    recipe = lw.Recipe(
        optimizer=lw.SGD(lr=0.1 * lw.Cosine()),
        groups={"head.*": {"lr": "x2"}, "backbone.*": {"lr": "x0.3", "freeze": "30%"}},
    )
    found = dict(zip(number_names(recipe), tabulate_recipe(recipe, STEPS, STEPS, 1).T, strict=True))
    trains = found["t"] >= found["backbone.*.freeze"]
    axes.plot(found["head.*.lr"], label="head.*: lr x2")
    axes.plot(found["lr"], label="all others")
    axes.plot(np.where(trains, found["backbone.*.lr"], np.nan), label="backbone.*: lr x0.3, freeze 30%")
    axes.set_xlabel("step of 200")
    axes.set_ylabel("learning rate")
    axes.legend()


def layers(axes: Axes) -> None:
    """The share of the learning rate that each of twelve layers has."""
    depths = np.arange(12)
    for decay in (0.95, 0.85, 0.75, 0.65):
        axes.plot(12 - depths, decay**depths, marker="o", markersize=3, label=f"layer_decay {decay:g}")
    axes.set_xlabel("layer of 12; the last is the output")
    axes.set_ylabel("share of lr")
    axes.legend()


PLOTS: dict[str, Plot] = {"parameter-groups": groups, "layer-decay": layers}
"""Name of a card -> what draws its plot."""
