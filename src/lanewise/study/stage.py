"""A stage of a race, a generation or the confirmation, and the snapshot of a race in the middle of one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lanewise.lanes.checkpoint import state_of
from lanewise.lanes.cohort import Cohort, Scores
from lanewise.lanes.engine import Costs
from lanewise.recipe import Recipe
from lanewise.study.candidate import Candidate
from lanewise.study.checkpoint import Snapshot
from lanewise.study.sampling import Sampler


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


def candidates_of(
    data: dict[str, Any], which: str, recipes: Sequence[Recipe], baseline: Recipe | None = None
) -> list[Candidate]:
    """The `candidates` or the `confirmed` of a snapshot's plain data; `baseline` may be the last of the latter."""
    every = [*recipes, *([] if baseline is None else [baseline])]
    return [Candidate.from_dict(one, every[one["number"]]) for one in data[which]]


def rungs_of(data: dict[str, Any], repeats: int) -> np.ndarray:
    """The scores of the rungs in a snapshot's plain data."""
    return np.array(data["rungs"], dtype=np.float64).reshape(-1, len(data["own"]), repeats)


def last_scores_of(data: dict[str, Any]) -> Scores | None:
    """The scores of the last evaluation in a snapshot's plain data."""
    if data["last"] is None:
        return None
    loss, metric = data["last"]
    return Scores(np.array(loss, dtype=np.float64), np.array(metric, dtype=np.float64))
