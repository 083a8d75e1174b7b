"""The portfolio: recipes that people use by habit, which every race of a built-in space includes.

They show what a search was worth. Their numbers are those of common tutorials and libraries, and they share programs
with the usual recipes of the space: Adam is AdamW without decay, and what is off is a number.
"""

from dataclasses import replace
from typing import Any

from lanewise.parts.optimizers import SGD, AdamW
from lanewise.parts.schedules import Cosine, OneCycle
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces.facts import Facts

CLIP = 1.0
"""Norm at which gradients of sequence models are clipped by habit, as the trainer of Transformers does."""


def portfolio(facts: Facts, space: Recipe | None = None) -> dict[str, Recipe]:
    """The recipes of habit by name; the first is the default that people start from.

    Args:
        space: whose batch size and epochs they take where these are fixed.
    """
    scale = 0.1 if facts.pretrained else 1.0
    one_cycle = 1e-3 if facts.sequence else 1e-2
    usual = usual_recipe(facts)
    if space is not None:
        if isinstance(space.batch_size, int):
            usual = replace(usual, batch_size=space.batch_size)
        if isinstance(space.epochs, int):
            usual = replace(usual, epochs=space.epochs)
    return {
        "adam": replace(usual, optimizer=AdamW(lr=1e-3 * scale, weight_decay=0.0)),
        "sgd-cosine": replace(usual, optimizer=SGD(lr=0.1 * scale * Cosine(), momentum=0.9), l2=5e-4),
        "adamw-one-cycle": replace(usual, optimizer=AdamW(lr=one_cycle * scale * OneCycle(), weight_decay=0.01)),
        "adamw-cosine": replace(usual, optimizer=AdamW(lr=1e-3 * scale * Cosine(warmup="5%"), weight_decay=0.05)),
    }


def usual_recipe(facts: Facts) -> Recipe:
    """A recipe that leaves the model as it is; numbers that the space has stand in it, so that programs are shared."""
    fields: dict[str, Any] = {"batch_size": facts.batch_sizes[0], "epochs": facts.epochs}
    if len(set(facts.dropout)) == 1:
        fields["dropout"] = facts.dropout[0]
    if len(set(facts.depth)) == 1:
        fields["stochastic_depth"] = facts.depth[0]
    if len(set(facts.norm_momentum)) == 1 and facts.norm_momentum[0]:
        fields["norm_momentum"] = facts.norm_momentum[0]
    if facts.sequence:
        fields["clip"] = CLIP
    return Recipe(**fields)
