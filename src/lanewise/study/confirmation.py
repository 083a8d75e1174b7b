"""Finalists in new training runs, and the verdict that follows from them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from lanewise.data import Split
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.groups import evaluation_points
from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import Candidate, standing
from lanewise.statistics.row_scores import RowScores
from lanewise.statistics.sample import Sample
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.stage import Stage
from lanewise.verdict.by_class import by_class
from lanewise.verdict.ranking import intervals_on_test_rows, rank_finalists
from lanewise.verdict.references import references_of
from lanewise.verdict.verdict import Baseline, Verdict


def best_finished(candidates: Iterable[Candidate], most: int, metric: str) -> list[Candidate]:
    """The best of those that finished the race, `most` at the most.

    Raises:
        InputError: there is none; `metric` is the name of what they are scored by.
    """
    candidates = list(candidates)
    finished = (c for c in candidates if c.stopped_at is None and c.scored)
    # A space of choices can draw the same recipe twice; it need not run against itself.
    distinct = {str(candidate.recipe): candidate for candidate in sorted(finished, key=standing, reverse=True)}
    ranked = sorted(distinct.values(), key=standing)[:most]
    if ranked:
        return ranked
    if any(candidate.stopped_at is None and np.isfinite(candidate.loss) for candidate in candidates):
        raise InputError(f"metric {metric!r}: must be a finite number, and is for no candidate that finished")
    raise InputError(
        "every candidate diverged: the space holds no recipe that trains this model; lower its learning rates"
    )


def check_baseline(baseline: Recipe, engine: Engine) -> None:
    """Raise `InputError` unless `baseline` is one recipe that can be trained."""
    if baseline.is_space:
        raise InputError("baseline: has ranges in it, so it is a space; must be one recipe, such as a best.yaml")
    try:
        engine.check(baseline)
    except InputError as error:
        raise InputError(f"baseline: {error}") from None


def phase_of_confirmation(finalists: int, repeats: int, baseline: bool) -> str:
    """What the confirmation is called while it goes on; `baseline` says whether one is confirmed beside them."""
    what = f"{finalists} finalist{'s' * (finalists > 1)}{' and the baseline' if baseline else ''}"
    return f"confirming {what} in {repeats} new training runs"


def overlap_of(splits: Sequence[Split]) -> tuple[float, int]:
    """(validation rows divided by training rows, validation rows) of a run; the mean of both over the repeats.

    Of K folds the first is 1 / (K - 1), as Bouckaert and Frank take it for repeated folds in "Evaluating the
    replicability of significance tests for comparing learning algorithms", 2004.
    """
    shares = [len(split.valid) / len(split.train) for split in splits]
    return float(np.mean(shares)), round(float(np.mean([len(split.valid) for split in splits])))


def diverged_late(candidate: Candidate, rungs: Sequence[float], engine: Engine) -> bool:
    """Whether `candidate` passed every rung of the race and then diverged."""
    if not candidate.diverged or candidate.stopped_at is not None:
        return False
    epochs = candidate.recipe.epochs
    last = max((rung for rung in rungs if rung < 1 and rung in evaluation_points(epochs)), default=0.0)
    steps = epochs * engine.feed(candidate.recipe, 0).steps_per_epoch
    return min(candidate.diverged.values()) >= last * steps


def reach_verdict(
    stage: Stage,
    engine: Engine,
    kind: ScoreKind,
    candidates: Sequence[Candidate],
    seconds: float,
    baseline: int | None,
    rungs: Sequence[float],
) -> Verdict:
    """The verdict on a confirmation that has come to its end.

    Args:
        candidates: all that were drawn. seconds: that the study has taken. baseline: the number of the baseline: the
            next after those drawn where the user gave it. rungs: of the race.
    """
    recipes = {str(candidate.recipe) for candidate in candidates}
    found = _compared(stage, engine, kind, len(candidates), seconds, baseline)
    simple = references_of(engine, list(stage.cohort.repeats))
    return replace(
        found,
        diverged=sum(bool(candidate.diverged) for candidate in candidates),
        diverged_late=sum(diverged_late(candidate, rungs, engine) for candidate in candidates),
        duplicates=len(candidates) - len(recipes),
        references=dict(simple.scores),
        reference_notes=simple.notes,
        classes=by_class(stage.cohort, [one.number for one in stage.own].index(found.finalists[0].candidate)),
    )


def _compared(
    stage: Stage, engine: Engine, kind: ScoreKind, candidates: int, seconds: float, baseline: int | None
) -> Verdict:
    cohort, scores = stage.cohort, stage.last
    assert scores is not None
    overlap, valid = overlap_of([engine.repeat(index).split for index in cohort.repeats])
    numbers = [candidate.number for candidate in stage.own]
    single = cohort.valid_rows(range(len(numbers)))
    sample = Sample.of(
        scores.metric, scores.loss, kind, overlap=overlap, count=valid, rows=RowScores(*single) if single else None,
        what="finalist",
    )  # fmt: skip
    finalists = rank_finalists(numbers, [candidate.recipe for candidate in stage.own], sample)
    names = {candidate.number: candidate.name for candidate in stage.own}
    finalists = tuple(replace(one, name=names[one.candidate]) for one in finalists)
    zeros = cohort.zeros()
    finalists = tuple(replace(one, zeros=zeros[numbers.index(one.candidate)]) for one in finalists)
    # The one use of the test data: winner and runner-up are settled, nothing is chosen by it.
    given = [] if baseline is None else [baseline]
    tested = dict.fromkeys([*(finalist.candidate for finalist in finalists[:2]), *given])
    rows = {numbers[at]: found for at, found in cohort.test_rows(map(numbers.index, tested)).items()}
    test = intervals_on_test_rows(rows, finalists, kind, baseline, engine.task.objective.metric.bounds)
    costs = engine.costs
    return Verdict(
        finalists,
        test.winner,
        test.runner_up,
        engine.task.objective.metric.name,
        candidates,
        costs.lane_steps,
        {
            "total": round(seconds, 3),
            "train": round(costs.train, 3),
            "compile": round(costs.compile, 3),
            "trials": round(costs.trials, 3),
        },
        {key: plan.to_dict() for key, plan in engine.plans.items()},
        kind,
        None if baseline is None else Baseline(baseline, test.baseline),
        heavy_tails=test.heavy_tails,
        test_rows=len(engine.holdout.test),
    )
