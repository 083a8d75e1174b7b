"""Spaces that come with Lanewise, and the recipes that people use by habit.

`classic` is the same for every task; the others are made from what is known of the task, see `Facts`.
"""

from lanewise.recipe.spaces.facts import KINDS, Facts
from lanewise.recipe.spaces.portfolio import portfolio
from lanewise.recipe.spaces.suited import suited
from lanewise.recipe.spaces.textbook import classic

NAMES = ("auto", "classic", *KINDS)
"""The built-in spaces by name, the default first."""

__all__ = ["KINDS", "NAMES", "Facts", "classic", "portfolio", "suited"]
