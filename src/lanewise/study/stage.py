"""A stage of a race, a generation or the confirmation, and the snapshot of a race in the middle of one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lanewise.base.plain_data import several, whole
from lanewise.lanes.packs.prepared import Costs
from lanewise.lanes.training.checkpoint import state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import Scores
from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import Candidate
from lanewise.record.checkpoint import Snapshot
from lanewise.sampling.sampler import Sampler


@dataclass(eq=False)
class Stage:
    """A cohort on its way.

    Attributes:
        generation: its number, or None for the confirmation. own: the candidates in the cohort's order.
        rungs: scores of the rungs so far, float64 [rungs, own, repeats]. last: of the last evaluation, None before it.
    """

    generation: int | None
    own: list[Candidate]
    cohort: Cohort
    rungs: np.ndarray
    last: Scores | None = None

    def evaluate(self) -> None:
        """Score the live candidates, and note what became of each."""
        cohort, scores = self.cohort, self.cohort.evaluate()
        self.last = scores
        for at in cohort.live:
            self.own[at].loss = float(scores.loss[at].mean())
            self.own[at].score = float(scores.metric[at].mean())
        for (at, repeat), points in cohort.curves.items():
            self.own[at].curves[repeat] = points
        for (at, repeat), step in cohort.diverged.items():
            self.own[at].diverged[repeat] = step


def snapshot(
    candidates: Sequence[Candidate], stage: Stage, sampler: Sampler, costs: Costs, seconds: float, done: float
) -> Snapshot:
    """Everything that a race in the middle of `stage` needs to go on in another process.

    Args:
        candidates: all that were drawn. seconds: spent so far. done: share of the whole race.
    """
    tensors, cohort = state_of(stage.cohort)
    return tensors, {
        "generation": stage.generation,
        "candidates": [candidate.to_dict() for candidate in candidates],
        "recipes": list(sampler.texts),
        "own": [candidate.number for candidate in stage.own],
        "confirmed": [candidate.to_dict() for candidate in stage.own] if stage.generation is None else [],
        "rungs": stage.rungs.tolist(),
        "last": None if stage.last is None else [stage.last.loss.tolist(), stage.last.metric.tolist()],
        "journal": sampler.journal,
        "costs": asdict(costs),
        "seconds": seconds,
        "done": done,
        "cohort": cohort,
    }


def check_journal(data: dict[str, Any]) -> None:
    """Raise unless the sampler's journal in a snapshot's plain data draws as many recipes as the snapshot holds."""
    recipes, journal = several("recipes", data["recipes"]), several("journal", data["journal"])
    asked = [whole("ask", event[1], 1) for event in journal if event[0] == "ask"]
    if sum(asked) != len(recipes):
        raise ValueError(f"journal: draws {sum(asked)} recipes; must be {len(recipes)}")


def candidates_of(
    data: dict[str, Any], which: str, recipes: Sequence[Recipe], baseline: Recipe | None = None
) -> list[Candidate]:
    """The `candidates` or the `confirmed` of a snapshot's plain data; `baseline` may be the last of the latter."""
    every = [*recipes, *([] if baseline is None else [baseline])]
    listed = several(which, data[which], len(recipes) if which == "candidates" else None)
    found = [Candidate.from_dict(one, every[whole("number", one["number"], 0, len(every) - 1)]) for one in listed]
    if which == "candidates":
        generations = [candidate.generation for candidate in found]
        if [candidate.number for candidate in found] != list(range(len(found))):
            raise ValueError("candidates: must be numbered from 0")
        if sorted(set(generations)) != list(range(len(set(generations)))) or generations != sorted(generations):
            raise ValueError("candidates: must come by generation, from 0")
    return found


def own_of(data: dict[str, Any], candidates: Sequence[Candidate], baseline: Recipe | None) -> list[Candidate]:
    """The candidates of the stage in a snapshot's plain data, without the baseline."""
    generation, most = data["generation"], len(candidates) - (baseline is None)
    numbers = [whole("own", at, 0, most) for at in several("own", data["own"])]
    own = [candidates[at] for at in numbers if at < len(candidates)]
    if not own or len(set(numbers)) != len(numbers):
        raise ValueError(f"own = {numbers}: must be different candidates")
    if generation is not None and {one.generation for one in own} != {whole("generation", generation, 0)}:
        raise ValueError(f"own = {numbers}: must be of generation {generation}")
    return own


def rungs_of(data: dict[str, Any], cohort: Cohort) -> np.ndarray:
    """The scores of the rungs in a snapshot's plain data, of `cohort` as the snapshot has it."""
    listed = several("rungs", data["rungs"])
    found = np.array(listed, dtype=np.float64).reshape(len(listed), len(cohort.recipes), len(cohort.repeats))
    passed = sum(rung <= cohort.progress for rung in cohort.rungs)
    if len(found) > passed or (cohort.live and len(found) < passed):
        raise ValueError(f"rungs: has {len(found)}; must have {passed}")
    return found


def last_scores_of(data: dict[str, Any], cohort: Cohort) -> Scores | None:
    """The scores of the last evaluation in a snapshot's plain data, of `cohort` as the snapshot has it."""
    if data["last"] is None:
        if cohort.progress:
            raise ValueError("last: must be scores, since there was an evaluation")
        return None
    shape = (len(cohort.recipes), len(cohort.repeats))
    loss, metric = (np.array(one, dtype=np.float64) for one in several("last", data["last"], 2))
    if loss.shape != shape or metric.shape != shape:
        raise ValueError(f"last: must be two tables of {shape}")
    return Scores(loss, metric)
