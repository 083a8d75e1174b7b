"""Plateaus inside lanes: each lane hears its own measurements, and is what a plain loop with torch is."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import evaluation_points
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Cosine, Plateau, Warmup
from lanewise.recipe.recipe import Recipe
from tests.lanes.cases import group_of
from tests.parts.table_row import LIVELY, recipe
from tests.parts.table_runs import Alone, Lane, distance, lanes_of, new_engine, same_bits

EPOCHS, STEPS = 20, 120
POINTS = evaluation_points(EPOCHS)
EAGER, LAZY = Plateau(beta=0.5, patience=0, threshold=0.1), Plateau(beta=0.5, patience=30)


def on_rate(schedule: Any) -> Recipe:
    return recipe(SGD(lr=0.3 * schedule, momentum=0.5), epochs=EPOCHS, **LIVELY)


@dataclass(frozen=True)
class Case:
    """A lane with a plateau, and what a plain loop does instead.

    Attributes:
        number: which number the plateau multiplies. plain: the recipe without the plateau.
        starts, ends: the steps at which the plateau counts: starts <= t < ends.
        by_accuracy: whether it watches the accuracy instead of the loss.
    """

    lane: Recipe
    plain: Recipe
    plateau: Plateau
    number: str = "lr"
    starts: int = 0
    ends: int = STEPS
    by_accuracy: bool = False


BY_ACCURACY = replace(EAGER, maximize=True, relative=False, threshold=0.0, patience=1)
CASES = {
    "alone": Case(on_rate(EAGER), on_rate(1.0), EAGER),
    "patient": Case(on_rate(LAZY), on_rate(1.0), LAZY),
    "with a cosine": Case(on_rate(Cosine() * EAGER), on_rate(Cosine()), EAGER),
    "after a warm-up": Case(on_rate(Warmup("40%") >> EAGER), on_rate(Warmup("40%")), EAGER, starts=48),
    "before a cosine": Case(
        on_rate(replace(EAGER, duration="50%") >> Cosine()),
        on_rate(Plateau(duration="50%") >> Cosine()),
        EAGER,
        ends=60,
    ),
    "by accuracy": Case(on_rate(BY_ACCURACY), on_rate(1.0), BY_ACCURACY, by_accuracy=True),
    "on dropout": Case(
        replace(on_rate(1.0), dropout=0.5 * EAGER), replace(on_rate(1.0), dropout=0.5), EAGER, number="dropout"
    ),
}


@dataclass
class ByHand:
    """Reduce on plateau as a person writes it into a loop."""

    plateau: Plateau
    factor: float = 1.0
    best: float | None = None
    waited: int = 0

    def hear(self, loss: float, accuracy: float) -> None:
        """Take in one measurement."""
        p = self.plateau
        value, sign = (accuracy, -1) if p.maximize else (loss, 1)
        margin = p.threshold * abs(self.best or 0.0) if p.relative else p.threshold
        if self.best is None or sign * value < sign * self.best - margin:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.waited > p.patience:
            self.factor, self.waited = self.factor * p.beta, 0


def in_a_plain_loop(case: Case) -> tuple[Lane, ByHand]:
    """The recipe without its plateau, in plain PyTorch, with the optimizer applied by hand."""
    run, optimizer = Alone("mlp", case.plain), ByHand(case.plateau)
    repeat = run.feed.repeat
    pool = repeat.scale.apply(repeat.holdout.pool.x, torch.float64)
    x, y = pool[repeat.split.valid], repeat.holdout.pool_y[repeat.split.valid]
    table = run.run.tables[case.number].copy()
    for point in POINTS:
        counts = np.zeros(STEPS, dtype=bool)
        counts[case.starts : case.ends] = True
        run.run.tables[case.number] = np.where(counts, table * optimizer.factor, table)
        stop = round(point * STEPS)
        run.advance(stop)
        run.run.model.eval()
        if case.starts < stop <= case.ends:
            with torch.no_grad():
                accuracy = (run.run.model(x).argmax(1) == y).double().mean().item()
            optimizer.hear(run.scores(x, y).mean().item(), accuracy)
        run.run.model.train()
    return Lane(
        run.run.final(), torch.tensor(run.losses, dtype=torch.float64), run.scores(pool, repeat.holdout.pool_y)
    ), optimizer


def in_lanes(recipes: list[Recipe], points: list[float] = POINTS) -> Cohort:
    """A cohort that has been measured at `points`."""
    cohort = new_cohort(recipes)
    go_on(cohort, points)
    return cohort


def new_cohort(recipes: list[Recipe]) -> Cohort:
    return Cohort(new_engine("packed", "mlp", recipes), recipes, [0])


def go_on(cohort: Cohort, points: list[float]) -> None:
    for point in points:
        cohort.advance(point)
        cohort.evaluate()


@pytest.fixture(scope="module")
def together() -> Cohort:
    """All cases as lanes of one pack."""
    return in_lanes([case.lane for case in CASES.values()])


def factor(cohort: Cohort, name: str) -> float:
    (listening,) = group_of(cohort).plateaus[0][list(CASES).index(name)].active
    return listening.state.factor


@pytest.mark.parametrize("name", CASES)
def test_a_lane_is_the_plain_loop_with_the_optimizer_by_hand(name: str, together: Cohort) -> None:
    theirs, optimizer = in_a_plain_loop(CASES[name])
    mine = lanes_of(together)[list(CASES).index(name)]
    assert factor(together, name) == optimizer.factor
    assert distance(replace(mine, losses=theirs.losses), theirs) < 1e-9
    curve = together.curves[list(CASES).index(name), 0]
    stops = [0, *(round(point * STEPS) for point in POINTS)]
    losses = [theirs.losses[start:stop].mean().item() for start, stop in pairwise(stops)]
    assert [point[1] for point in curve] == pytest.approx(losses, abs=1e-9)


def test_one_lane_reduces_and_the_other_does_not(together: Cohort) -> None:
    factors = {name: factor(together, name) for name in CASES}
    assert factors.pop("patient") == 1.0
    assert all(reduced < 1.0 for reduced in factors.values()), factors


def test_a_plateau_that_has_not_reduced_changes_no_bit() -> None:
    still, without = lanes_of(in_lanes([on_rate(LAZY), on_rate(EAGER), on_rate(1.0)]))[::2]
    assert same_bits(still.state, without.state)


def test_a_stopped_run_goes_on_from_step_tables_states_and_what_the_plateaus_remember(together: Cohort) -> None:
    recipes = [case.lane for case in CASES.values()]
    half = len(POINTS) // 2
    stopped = in_lanes(recipes, POINTS[:half])
    going_on = new_cohort(recipes)
    (old,), (new,) = group_of(stopped).packs, group_of(going_on).packs
    new.step = old.step
    new.replace_tables(old.tables)
    for mine, theirs in zip(new.blocks, old.blocks, strict=True):
        mine.state = theirs.state
    group_of(going_on).plateaus[0] = copy.deepcopy(group_of(stopped).plateaus[0])
    go_on(going_on, POINTS[half:])
    for mine, whole in zip(lanes_of(going_on), lanes_of(together), strict=True):
        assert same_bits(mine.state, whole.state)


def test_a_plateau_that_can_never_reduce_is_noted_once() -> None:
    def notes_of(*schedules: Any) -> list[str]:
        notes: list[str] = []
        recipes = [on_rate(schedule) for schedule in schedules]
        engine = new_engine("packed", "mlp", recipes)
        notes.clear()
        engine.note = notes.append
        for repeats in ([0], [0, 1]):
            Cohort(engine, recipes, repeats)
        return [note for note in notes if "never reduces" in note]

    # 16 measurements, of which the last is too late: 15 allow for a first, 13 that are put up with, and one more.
    assert notes_of(Plateau(patience=13), Plateau(patience=13)) == []
    (line,) = notes_of(Plateau(patience=14), Plateau(patience=14), Plateau(patience=2))
    assert line.startswith("plateau(patience=14) never reduces anything: a run of 20 epoch(s) is measured 16 times")
    assert len(notes_of(Warmup("50%") >> Plateau(patience=7), Plateau(patience=7))) == 1
    reduced = in_lanes([on_rate(Plateau(beta=0.5, patience=13, threshold=1e9, relative=False))] * 2)
    assert group_of(reduced).plateaus[0][0].active[0].state.factor == 0.5


def test_only_the_points_of_the_recipes_own_curve_are_heard() -> None:
    heard = in_lanes([on_rate(EAGER)] * 2)
    more = in_lanes([on_rate(EAGER)] * 2, sorted({*POINTS, 0.3, 0.7, 0.99}))
    assert group_of(heard).plateaus == group_of(more).plateaus
    assert same_bits(lanes_of(heard)[0].state, lanes_of(more)[0].state)


@pytest.mark.parametrize(
    "build", [lambda plateau: plateau, lambda plateau: Cosine() * plateau], ids=["alone", "cosine"]
)
def test_a_measurement_that_is_no_number_is_no_improvement_and_is_reported(build: Callable[[Plateau], Any]) -> None:
    plateau = Plateau(beta=0.5, patience=2)
    diverging = recipe(SGD(lr=1e200 * build(plateau), momentum=0.5), epochs=EPOCHS, **LIVELY)
    neighbour = on_rate(EAGER)
    cohort = in_lanes([diverging, neighbour])
    (listening,) = group_of(cohort).plateaus[0][0].active
    assert listening.state.rejected == len(POINTS)
    assert listening.state.best is None
    assert listening.state.factor == 0.5 ** (len(POINTS) // 3)
    assert list(cohort.diverged) == [(0, 0)]
    assert cohort.diverged[0, 0] < 5
    alone = lanes_of(in_lanes([neighbour, neighbour]))[0]
    assert same_bits(lanes_of(cohort)[1].state, alone.state)
