"""Named recipes that are trained side by side to the end, and what became of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lanewise.base.plain_data import number, several
from lanewise.data import Source
from lanewise.errors import InputError, a_type
from lanewise.lanes.training.groups import Scores
from lanewise.parts.part import Allowed, check_number
from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import Candidate
from lanewise.statistics.row_scores import RowScores

ROWS = ("values", "repeat", "row")
LONGEST_NAME = 60
REPEATS = 8
"""By default, where the data is not folded."""
FIRST_REPEAT = 10_000
"""Races count their repeats from 0. A recipe that was chosen by these would look better on them than it is, so others
are taken here, and others again for every kind of question."""


@dataclass(frozen=True)
class NamedRecipe:
    """A recipe with its name."""

    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Phase:
    """Recipes to be trained to the end on the repeats `repeats` of the study, all at once; `title` says what for."""

    title: str
    entries: tuple[NamedRecipe, ...]
    repeats: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PhaseResult:
    """What became of a phase.

    Attributes:
        scores: of the last evaluation, the metric turned so that greater is better; NaN where a run diverged.
        rows: the metric row by row; None where whole batches are scored.
        zeros: share of the penalised weights of each recipe that are exactly zero, the mean over repeats.
        candidates: its recipes with their curves, in the order of its entries.
    """

    phase: Phase
    scores: Scores
    rows: RowScores | None
    zeros: tuple[float, ...]
    candidates: tuple[Candidate, ...]

    def tensors(self, where: str) -> dict[str, Tensor]:
        """The scores of rows for a checkpoint, under names that begin with `where`."""
        if self.rows is None:
            return {}
        return {f"{where}.{name}": torch.from_numpy(getattr(self.rows, name).copy()) for name in ROWS}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint, in which NaN may stand: all but the phase and the scores of rows."""
        return {
            "loss": self.scores.loss.tolist(),
            "metric": self.scores.metric.tolist(),
            "zeros": list(self.zeros),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str, phase: Phase
    ) -> "PhaseResult":
        """What `to_dict` and `tensors` gave, of the same phase."""
        shape = (len(phase.entries), len(phase.repeats))
        loss, metric = (np.array(data[name], dtype=np.float64) for name in ("loss", "metric"))
        if loss.shape != shape or metric.shape != shape:
            raise ValueError(f"loss and metric: must be tables of {shape}")
        scores = Scores(loss, metric)
        known = f"{where}.{ROWS[0]}" in tensors
        rows = RowScores(*(tensors[f"{where}.{name}"].numpy() for name in ROWS)) if known else None
        if rows is not None:
            _check_rows(rows, *shape)
        zeros = tuple(number("zeros", share, 0.0, 1.0) for share in several("zeros", data["zeros"], shape[0]))
        return cls(phase, scores, rows, zeros, candidates_from(data["candidates"], phase))


def _check_rows(rows: RowScores, entries: int, repeats: int) -> None:
    count = len(rows.repeat) if rows.repeat.ndim else 0
    kinds = (rows.values.dtype.kind, rows.repeat.dtype.kind, rows.row.dtype.kind)
    if rows.values.shape != (entries, count) or rows.row.shape != (count,) or kinds != ("f", "i", "i") or not count:
        raise ValueError(f"scores of rows: must be those of {entries} recipes")
    if set(np.unique(rows.repeat).tolist()) - set(range(repeats)) or rows.row.min() < 0:
        raise ValueError(f"scores of rows: must be of repeats in [0, {repeats - 1}]")


def candidates_of(phase: Phase) -> list[Candidate]:
    """The entries of a phase before their first step."""
    return [Candidate(number, entry.recipe, 0) for number, entry in enumerate(phase.entries)]


def candidates_from(data: Sequence[Mapping[str, Any]], phase: Phase) -> tuple[Candidate, ...]:
    """The entries of a phase as a checkpoint holds them."""
    pairs = zip(data, phase.entries, strict=True)
    return tuple(Candidate.from_dict(dict(one), entry.recipe) for one, entry in pairs)


def check_recipe(where: str, recipe: Any) -> Recipe:
    """`recipe`, or `InputError` unless it is one with nothing left to choose."""
    if not isinstance(recipe, Recipe):
        raise InputError(f"{where}: is {a_type(recipe)}; must be a recipe or the path of its file")
    if recipe.is_space:
        raise InputError(f"{where}: has ranges in it, so it is a space; find its best with lanewise.race(task, space)")
    return recipe


def check_names(names: Iterable[Any]) -> None:
    """Raise `InputError` unless all names are short texts and none stands twice."""
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise InputError(f"recipe name {name!r}: must be a text of 1 to {LONGEST_NAME} printable characters")
        if name in seen:
            raise InputError(f"recipe name {name!r}: stands twice; every recipe needs a name of its own")
        seen.add(name)


def repeats_of(source: Source, repeats: int | None, place: int) -> tuple[int, ...]:
    """The repeats that a question is answered on.

    Args:
        repeats: how many; by default as many as folds, else 8. place: which of the questions asks; no two share any.

    Raises:
        InputError: fewer than 2 repeats, or a number of them that leaves a round of folds unfinished.
    """
    splitter = source.splitter
    folds = splitter.folds
    count = repeats if repeats is not None else folds or REPEATS
    check_number("repeats", count, Allowed(2, FIRST_REPEAT // 2, integer=True))
    if folds and count % folds:
        raise InputError(
            f"repeats = {count}: must be a multiple of the {folds} folds, so that every row validates equally often"
        )
    # At the start of a round of folds, or of the splits given.
    length = folds or len(splitter.splits) or 1
    first = -(-FIRST_REPEAT * place // length) * length
    return tuple(range(first, first + count))
