"""How long is left: measured by the steps of this race, and told only when enough of them have been seen."""

from types import SimpleNamespace
from typing import Any

import pytest

from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.prepared import Costs
from lanewise.record.decisions import Decisions
from lanewise.report.terminal.console import SafeConsole
from lanewise.report.terminal.race import PlainDisplay
from lanewise.study.budget_planner import BudgetPlanner
from lanewise.study.progress import Progress
from lanewise.study.rate import Rate
from lanewise.study.settings import RaceSettings

SURVIVORS = ((1.0, 0.25), (0.5, 0.25), (0.25, 0.5))
POINTS = [point / 16 for point in range(1, 17)]


def told(before: float = 0.0, compiling: float = 0.0, slow_start: float = 0.0) -> list[tuple[float, float | None]]:
    """(seconds left as told, as they came) of a simulated race of 48, of which a unit of work takes 0.02 s.

    Args:
        before: seconds of all that comes before the first step. compiling: and of compiling. slow_start: what the first
            evaluation takes longer.
    """
    plan = Plan(packed=True, compiled=True, width=4, workers=2, threads=1)
    engine: Any = SimpleNamespace(costs=Costs(), plans={"all": plan}, threads=2, note=lambda line: None)
    now = [before + compiling]
    engine.costs.compile = compiling
    planner = BudgetPlanner(RaceSettings(), engine, lambda: now[0], Decisions(), 20.0, SURVIVORS, lambda: (1.0, 0.0))
    said: list[tuple[float, float | None]] = []
    finished = 0
    while size := planner.next_size():
        live, estimate = size, planner._by_time()
        planner.left_in_race(live, 0.0, finished)
        for at, point in enumerate(POINTS):
            rest = estimate.rest(live, POINTS[at - 1] if at else 0.0)
            now[0] += 0.02 * (rest - estimate.rest(live, point)) + slow_start * (not said)
            said.append((now[0], planner.left_in_race(live, point, finished)[1]))
            if point in (0.25, 0.5):
                live //= 2
        finished += live
    finalists, repeats = planner.confirmation(finished)
    planner.left_in_confirmation(finalists, repeats, 0.0)
    for point in POINTS:
        now[0] += 0.02 * planner._by_time().confirmation(finalists, repeats) / len(POINTS)
        said.append((now[0], planner.left_in_confirmation(finalists, repeats, point)[1]))
    return [(now[0] - at, left) for at, left in said]


@pytest.mark.parametrize("given", [{}, {"before": 60.0}, {"compiling": 300.0}, {"slow_start": 10.0}])
def test_what_is_told_comes_true(given: dict[str, float]) -> None:
    said = told(**given)
    first = next(at for at, (_, left) in enumerate(said) if left is not None)
    assert 1 <= first < len(said) / 2, "it is measured before it is told, and not for long"
    for came, left in said[first:]:
        assert left is not None
        assert left == pytest.approx(came, rel=0.35, abs=0.5)


def test_at_the_end_nothing_is_measured_any_more() -> None:
    engine: Any = SimpleNamespace(costs=Costs(), plans={}, threads=1, note=lambda line: None)
    planner = BudgetPlanner(
        RaceSettings(), engine, lambda: 1.0, Decisions(), 20.0, SURVIVORS, lambda: (1.0, 0.0), finish=2.0
    )
    assert planner.left_in_confirmation(2, 2, 0.5)[1] is None
    assert planner.left_in_confirmation(2, 2, 1.0)[1] == 2.0


def test_what_an_earlier_process_did_says_nothing() -> None:
    rate = Rate()
    assert [rate.measured(100.0 + second, 5000.0 + 2 * second) for second in (0, 1, 2, 3)] == [None] * 4
    assert rate.measured(106.0, 5012.0) == pytest.approx(0.5)


def test_a_long_first_part_counts_at_once() -> None:
    rate = Rate()
    rate.measured(0.0, 0.0)
    assert rate.measured(600.0, 3.0) == pytest.approx(200.0)


def test_until_then_it_is_said_that_it_is_being_measured(capsys: pytest.CaptureFixture[str]) -> None:
    PlainDisplay(SafeConsole(stderr=True)).show(Progress("race", 0.02, None, 3, 5))
    assert capsys.readouterr().err.startswith("race: 2%, measuring the time left, 3 of 5 recipes still training")
