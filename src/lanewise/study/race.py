"""The race: draw candidates, train them side by side, drop the hopeless, confirm the finalists, give the verdict."""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from lanewise.errors import InputError
from lanewise.lanes.cohort import Cohort, Scores
from lanewise.lanes.engine import Engine
from lanewise.lanes.plan import Plan
from lanewise.parts.part import Allowed, Variable, check_number
from lanewise.recipe import Recipe
from lanewise.recipe_file import save
from lanewise.study.folder import RunFolder
from lanewise.study.progress import Observer, Progress, Standing
from lanewise.study.racing import RULES, kept_share
from lanewise.study.sampling import Sampler, generation_sizes
from lanewise.study.verdict import Verdict, intervals_on_test_rows, rank_finalists
from lanewise.task import Task

RUNGS = (0.25, 0.5)
COMPUTE = 0.5
"""Share of the full training that the race may spend."""
COOL_DOWN = 0.03
"""Share of a run that a cool-down takes; raised the agreement with the final ranking from 0.13 to 0.37 (Kendall's tau,
at a quarter of the run) in the first trial on Fashion-MNIST."""
TIE = 0.01
"""Weight of the loss beside the error where candidates are ranked during the race."""
LEADERS = 8


@dataclass(frozen=True)
class RaceSettings:
    """What a race is to do; every field is checked.

    Args:
        candidates: recipes drawn. repeats: of each in the race. generations: the sampler learns from one for the next.
        rule: name in `lanewise.study.racing.RULES`. finalists: how many are confirmed, at most;
            by default a quarter of the candidates, but 2 to 6.
        confirm: fresh repeats they are confirmed on. seed: of the whole study.
    """

    candidates: int = 48
    repeats: int = 3
    generations: int = 3
    rule: str = "halving"
    finalists: int | None = None
    confirm: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"candidates": 2, "repeats": 1, "generations": 1, "finalists": 2, "confirm": 2, "seed": 0}
        for name, low in least.items():
            check_number(name, getattr(self, name), Allowed(low, integer=True, optional=name == "finalists"))
        if not isinstance(self.rule, str) or self.rule not in RULES:
            raise InputError(f"rule = {self.rule!r}: must be one of {', '.join(RULES)}")

    @property
    def most_finalists(self) -> int:
        """How many candidates are confirmed, at most."""
        return self.finalists if self.finalists is not None else min(6, max(2, self.candidates // 4))


@dataclass
class Candidate:
    """What became of one candidate.

    Attributes:
        left_at: the progress at which it left the race, or None. loss, score: mean over repeats when last evaluated.
        diverged: repeat -> step at which the loss was no longer finite.
        curves: repeat -> points (progress, training loss, validation loss, metric).
    """

    number: int
    recipe: Recipe
    generation: int
    left_at: float | None = None
    loss: float = np.nan
    score: float = np.nan
    diverged: dict[int, int] = field(default_factory=dict)
    curves: dict[int, list[tuple[float, float, float, float]]] = field(default_factory=dict)


class Study:
    """One race from the first draw to the verdict.

    Args:
        task: model, data, objective. space: a recipe with ranges. settings: what to do.
        folder: where to record it, or None. observer: told how it goes. device, threads, plans: see `Engine`.

    Attributes:
        candidates: all that were drawn, in order. verdict: what was found.
    """

    def __init__(
        self,
        task: Task,
        space: Recipe,
        settings: RaceSettings,
        *,
        folder: RunFolder | None = None,
        observer: Observer | None = None,
        device: str = "cpu",
        threads: int | None = None,
        plans: dict[str, Plan] | None = None,
    ) -> None:
        if not space.is_space:
            raise InputError("space: there is nothing to choose, every value is fixed; train it with: lanewise train")
        self.task, self.space, self.settings, self.folder = task, space, settings, folder
        self.observer = observer or Observer()
        self.begun = time.perf_counter()
        self.model_description = task.check_model()
        self.engine = Engine(task, settings.seed, device=device, threads=threads, plans=plans, note=self.observer.note)
        # A batch larger than the data is a user's mistake, to be found before anything is written.
        size = space.batch_size
        for rows in size.extremes() if isinstance(size, Variable) else (size,):
            self.engine.feed(replace(space, batch_size=int(rows)), 0)
        self.candidates: list[Candidate] = []
        self.confirmed: list[Candidate] = []
        self.verdict: Verdict
        self._phase = ""
        self._expected = 0.0

    def run(self) -> Verdict:
        """Run the whole race and return the verdict; the record is complete in the folder afterwards."""
        settings, observer = self.settings, self.observer
        held, task = self.engine.held, self.task
        rows = f"{len(held.pool_y):,} rows to train and validate on, {len(held.test_y):,} to test on"
        observer.note(f"{task.model_name} on {task.source.name}: {rows}")
        observer.note(f"model: {self.model_description}")
        if self.folder:
            self.folder.write_settings(self._description(), self.space, self.task.names)
        sampler = Sampler(self.space, settings.seed, self.folder.database if self.folder else None)
        try:
            for generation, size in enumerate(generation_sizes(settings.candidates, settings.generations)):
                self._run_generation(sampler, generation, size)
            self.verdict = self._confirm()
        finally:
            self.engine.close()
            sampler.close()
        if self.folder:
            self._record(self.folder)
        return self.verdict

    def _run_generation(self, sampler: Sampler, generation: int, size: int) -> None:
        settings = self.settings
        count = len(generation_sizes(settings.candidates, settings.generations))
        offset = len(self.candidates)
        for at, recipe in enumerate(sampler.ask(size, generation)):
            self.candidates.append(Candidate(offset + at, recipe, generation))
        own = self._usable(self.candidates[offset:], sampler)
        if not own:
            return
        size = len(own)
        rungs = RUNGS if settings.rule != "none" else ()
        survivors = expected_survivors(rungs)
        runs = settings.candidates * settings.repeats * expected_share(survivors)
        runs += settings.most_finalists * settings.confirm
        cohort = Cohort(
            self.engine,
            [candidate.recipe for candidate in own],
            range(settings.repeats),
            runs / (size * settings.repeats),
            survivors,
        )
        self._expected = runs * max(group.total_steps for group in cohort.groups)
        self._phase = f"race, generation {generation + 1} of {count}"
        scores = np.full((0, size, settings.repeats), np.nan)
        for progress in cohort.evaluation_points:
            cohort.advance(progress)
            last = cohort.evaluate()
            self._note_scores(cohort, last, own)
            self._show()
            if progress in rungs and progress < 1:
                cooled = rung_scores(cohort.cool_down(COOL_DOWN))
                scores = np.concatenate([scores, cooled[None]])
                live = np.array(cohort.live)
                kept = RULES[settings.rule](scores, np.array(rungs), live, COMPUTE)
                for at in live:
                    sampler.report(own[at].number, len(scores), float(cooled[at].mean()))
                    if at not in kept:
                        own[at].left_at = progress
                cohort.keep([int(at) for at in kept])
        for candidate in own:
            diverged = bool(candidate.diverged) or (candidate.left_at is None and np.isnan(candidate.loss))
            ended = candidate.left_at is None and not diverged
            score = float(rung_scores(Scores(np.array(candidate.loss), np.array(candidate.score)))) if ended else None
            sampler.tell(candidate.number, score, diverged)

    def _usable(self, drawn: list[Candidate], sampler: Sampler) -> list[Candidate]:
        """The candidates of a generation that can be trained; each other one is noted and leaves at once.

        Raises:
            InputError: none of the first generation can be trained.
        """
        refused: list[InputError] = []
        usable = []
        for candidate in drawn:
            try:
                self.engine.check(candidate.recipe)
                usable.append(candidate)
            except InputError as error:
                refused.append(error)
                candidate.left_at = 0.0
                sampler.tell(candidate.number, None, diverged=False)
        if refused and not usable and not drawn[0].number:
            raise refused[0]
        if refused:
            self.observer.note(f"{len(refused)} of {len(drawn)} recipes drawn cannot be trained: {refused[0]}")
        return usable

    def _confirm(self) -> Verdict:
        settings = self.settings
        finished = (c for c in self.candidates if c.left_at is None and not np.isnan(c.loss))
        # A space of choices can draw the same recipe twice; it need not run against itself.
        distinct = {str(candidate.recipe): candidate for candidate in sorted(finished, key=standing, reverse=True)}
        ranked = sorted(distinct.values(), key=standing)[: settings.most_finalists]
        if not ranked:
            raise InputError(
                "every candidate diverged: the space holds no recipe that trains this model; lower its rates"
            )
        self._phase = f"confirming {len(ranked)} finalists on {settings.confirm} fresh repeats"
        repeats = range(settings.repeats, settings.repeats + settings.confirm)
        cohort = Cohort(self.engine, [candidate.recipe for candidate in ranked], repeats)
        self.confirmed = [Candidate(c.number, c.recipe, c.generation) for c in ranked]
        for progress in cohort.evaluation_points:
            cohort.advance(progress)
            scores = cohort.evaluate()
            self._note_scores(cohort, scores, self.confirmed)
            self._show()
        split = self.engine.repeat(0).split
        numbers = [candidate.number for candidate in ranked]
        finalists = rank_finalists(
            numbers,
            [candidate.recipe for candidate in ranked],
            scores.metric,
            scores.loss,
            len(split.valid) / len(split.train),
            len(split.valid),
        )
        zeros = cohort.zeros()
        finalists = tuple(replace(one, zeros=zeros[numbers.index(one.candidate)]) for one in finalists)
        # The one use of the test data: the winner and the runner-up are settled, nothing is chosen by it.
        asked = [numbers.index(finalist.candidate) for finalist in finalists[:2]]
        rows = {numbers[at]: found for at, found in cohort.test_rows(asked).items()}
        test, difference = intervals_on_test_rows(rows, finalists)
        costs = self.engine.costs
        seconds = {
            "total": round(time.perf_counter() - self.begun, 3),
            "train": round(costs.train, 3),
            "compile": round(costs.compile, 3),
            "trials": round(costs.trials, 3),
        }
        return Verdict(
            finalists,
            test,
            difference,
            self.task.objective.metric.name,
            len(self.candidates),
            costs.lane_steps,
            seconds,
            {key: plan.to_dict() for key, plan in self.engine.plans.items()},
        )

    def _note_scores(self, cohort: Cohort, scores: Scores, own: Sequence[Candidate]) -> None:
        for at in cohort.live:
            own[at].loss = float(scores.loss[at].mean())
            own[at].score = float(scores.metric[at].mean())
        for (at, repeat), points in cohort.curves.items():
            own[at].curves[repeat] = points
        for (at, repeat), step in cohort.diverged.items():
            own[at].diverged[repeat] = step

    def _show(self) -> None:
        done = min(1.0, self.engine.costs.lane_steps / self._expected) if self._expected else 0.0
        elapsed = time.perf_counter() - self.begun - self.engine.costs.compile - self.engine.costs.trials
        left = elapsed * (1 - done) / done if done > 0.02 else None
        pool = self.confirmed or self.candidates
        with_score = [c for c in pool if not np.isnan(c.loss)]
        # Those that came furthest lead: a loss in the middle of a run says little beside one at its end.
        with_score.sort(key=lambda c: (c.left_at is not None, *standing(c)))
        standings = [
            Standing(c.number, c.recipe, max(p[0] for points in c.curves.values() for p in points), c.loss, c.score,
                     c.left_at is None)
            for c in with_score[:LEADERS]
        ]  # fmt: skip
        live = sum(candidate.left_at is None for candidate in self.candidates)
        self.observer.show(
            Progress(self._phase, done, left, live, len(self.candidates), standings, self.task.objective.metric.name)
        )

    def _description(self) -> dict[str, Any]:
        return {
            "lanewise": 1,
            "data": self.task.source.name,
            "model": self.task.model_name,
            "settings": {name: getattr(self.settings, name) for name in self.settings.__dataclass_fields__},
            "device": str(self.engine.device),
            "threads": self.engine.threads,
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
        }

    def _record(self, folder: RunFolder) -> None:
        folder.write_json(folder.engine.name, {key: plan.to_dict() for key, plan in self.engine.plans.items()})
        rows = [
            (phase, c.number, repeat, *point)
            for phase, pool in enumerate((self.candidates, self.confirmed))
            for c in pool
            for repeat, points in c.curves.items()
            for point in points
        ]
        names = ("confirmation", "candidate", "repeat", "progress", "training_loss", "validation_loss", "metric")
        columns = np.array(rows, dtype=np.float64).T
        folder.write_curves(dict(zip(names, columns, strict=True)))
        save(self.verdict.winner, folder.best, self.task.names)
        folder.write_json(folder.verdict.name, self.verdict.to_dict())


def rung_scores(scores: Scores) -> np.ndarray:
    """One number for each score, lower is better: the error, with the loss to tell ties.

    The loss alone would punish recipes with label smoothing or mixup, whose outputs are less sure and as often right.
    """
    found: np.ndarray = 1 - scores.metric + TIE * scores.loss / (1 + scores.loss)
    return found


def standing(candidate: Candidate) -> tuple[float, float]:
    """What candidates are ranked by, lowest first: the metric counts, and ties are told by the loss."""
    return (-candidate.score, candidate.loss)


def expected_survivors(rungs: Sequence[float]) -> list[tuple[float, float]]:
    """(share of the candidates, share of the steps) of each stage of a race with these rungs.

    >>> expected_survivors([]), [round(share, 3) for share, _ in expected_survivors([0.25, 0.5])]
    ([(1.0, 1.0)], [1.0, 0.5, 0.25])
    """
    share = kept_share(np.array(rungs), COMPUTE) if rungs else 1.0
    return [(share**stage, float(length)) for stage, length in enumerate(np.diff([0.0, *rungs, 1.0]))]


def expected_share(survivors: Sequence[tuple[float, float]]) -> float:
    """Share of training everything to the end that a race will spend, cool-downs at all rungs included."""
    return sum(share * length for share, length in survivors) + COOL_DOWN * sum(share for share, _ in survivors[:-1])


def with_overrides(space: Recipe, epochs: int | None, batch_size: int | None) -> Recipe:
    """The space with its length or batch size replaced where they are given."""
    if epochs is not None:
        space = replace(space, epochs=epochs)
    return space if batch_size is None else replace(space, batch_size=batch_size)
