"""A race by epochs or by the clock: what it costs, how it is split, and that its decisions outlive its process."""

import itertools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lanewise as lw
from lanewise.base import files
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.prepared import Costs
from lanewise.record.decisions import Decisions
from lanewise.record.folder import RunFolder
from lanewise.study.budget import Budget, Confirming, Estimate, lanes_together, on_workers, reserve, size_of_generation
from lanewise.study.budget_planner import BudgetPlanner
from lanewise.study.progress import Observer, Progress
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.task import Task
from tests.record.records import SETTINGS, SPACE, eager_plans, model, record, rows

BY_TIME = replace(SETTINGS, candidates=None, finalists=None, confirm=2, budget="12s")
SECONDS_OF_A_LANE_EPOCH = 0.25


class Watch:
    """A clock that runs by the work done, at so many seconds a lane-epoch; it may be set up before the engine."""

    def __init__(self, seconds: float = SECONDS_OF_A_LANE_EPOCH) -> None:
        self.seconds = seconds
        self.engine: Engine | None = None

    def __call__(self) -> float:
        if self.engine is None:
            return 0.0
        # These are told by the real clock.
        self.engine.costs.compile = self.engine.costs.trials = 0.0
        return self.seconds * self.engine.costs.lane_epochs


def study(
    folder: RunFolder | None = None, settings: RaceSettings = BY_TIME, seconds: float = SECONDS_OF_A_LANE_EPOCH,
    **given: Any,
) -> Study:  # fmt: skip
    """A race whose clock runs by the work it does, and whose steps are not timed."""
    watch = Watch(seconds)
    made = Study(
        Task(model, rows()), SPACE, settings,
        **{"folder": folder, "threads": 1, "every": 0, "plans": eager_plans(SPACE), "clock": watch, **given},
    )  # fmt: skip
    made.planner.timed = lambda: (seconds, 0.0)
    made.planner.finish = 0.0
    watch.engine = made.engine
    return made


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("500ep", 500, "epochs"), ("2.5ep", 2.5, "epochs"), ("90s", 90, "seconds"), ("10m", 600, "seconds"),
        ("10min", 600, "seconds"), ("1h", 3600, "seconds"), ("1h30m", 5400, "seconds"),
    ],
)  # fmt: skip
def test_a_budget_is_epochs_or_a_time(text: str, amount: float, unit: str) -> None:
    assert (Budget.of(text).amount, Budget.of(text).unit) == (amount, unit)


@pytest.mark.parametrize("text", ["", "48", "10", "0s", "0ep", "-5m", "5 m", "10m 3", "ep", "1e3s", "nan s", 600, None])
def test_what_is_no_budget_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match=r'must be epochs of all lanes together \("500ep"\) or a time') as caught:
        Budget.of(text)
    assert repr(text) in str(caught.value)
    assert ("is given as candidates" in str(caught.value)) == (text in ("48", "10", 600))


def test_candidates_and_a_budget_are_not_given_both() -> None:
    with pytest.raises(InputError, match="candidates = 8 and budget = '9s': must not be given both"):
        RaceSettings(candidates=8, budget="9s")
    assert RaceSettings().candidates == 48
    assert RaceSettings(budget="9s").candidates is None


def test_the_load_follows_the_blocks() -> None:
    looped = on_workers(Plan(packed=False, compiled=False, width=1, workers=2, threads=1), 0.0)
    assert [looped(lanes, 3) for lanes in (1, 2)] == [2.0, 3.0]
    eager = on_workers(Plan(packed=True, compiled=False, width=32, workers=1, threads=1), 20.0)
    assert eager(2, 1) == 22
    assert eager(33, 1) == 2 * 52


def test_what_is_left_of_a_generation_falls_as_it_goes_on() -> None:
    estimate = Estimate(lanes_together, 3, 20, ((1.0, 0.25), (0.5, 0.25), (0.25, 0.5)))
    whole = estimate.generation(16)
    assert whole == pytest.approx(3 * 20 * (16 * 0.25 + 8 * 0.25 + 4 * 0.5))
    found = [estimate.rest(live, at) for live, at in ((16, 0.1), (16, 0.25), (8, 0.25), (8, 0.5), (4, 0.5), (4, 1.0))]
    assert found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(3 * 20 * (4 * 0.25 + 2 * 0.5))
    assert found[-1] == 0


def test_a_confirmation_gives_up_finalists_before_it_gives_up_the_third_repeat() -> None:
    estimate = Estimate(lanes_together, 3, 10, ((1.0, 1.0),))
    most = Confirming(6, 8)
    found = [most.within(left, estimate, 1.0) for left in (480, 479, 180, 179, 100, 40, 0)]
    assert found == [(6, 8), (6, 7), (6, 3), (5, 3), (3, 3), (2, 2), (2, 2)]
    folded = Confirming(6, 10, step=5, others=1)
    assert folded.within(700, estimate, 1.0) == (6, 10)
    assert folded.within(699, estimate, 1.0) == (6, 5)
    assert folded.within(0, estimate, 1.0) == (2, 5)


def test_generations_share_what_is_left_and_leave_the_confirmation_its_part() -> None:
    estimate = Estimate(lanes_together, 1, 1, ((1.0, 1.0),))
    total, sizes = 90.0, []
    kept = reserve(total, estimate, 1.0, Confirming(6, 8))
    assert kept == 30
    while size := size_of_generation(total - kept - sum(sizes), estimate, 1.0, len(sizes), 3):
        sizes.append(size)
    assert sizes == [20, 20, 20]
    assert size_of_generation(1e6, estimate, 1.0, 7, 3) == 64
    costly_calls = Estimate(on_workers(Plan(True, False, 32, 1, 1), 62.0), 1, 1, ((1.0, 1.0),))
    assert size_of_generation(100, costly_calls, 1.0, 0, 3) == 18, "calls are paid for, lanes come along"


def simulated(
    settings: RaceSettings,
    slower: float = 1.0,
    overhead: float = 0.0,
    note: Callable[[str], None] = lambda line: None,
    **given: Any,
) -> tuple[BudgetPlanner, float]:
    """(the planner, what was spent) of a race that trains nothing: its parts cost what they are estimated to.

    Args:
        slower: how many times as long as timed. overhead: lanes that a call costs beside its lanes.
    """
    plan = Plan(packed=True, compiled=False, width=32, workers=1, threads=1)
    engine: Any = SimpleNamespace(costs=Costs(), plans={"all": plan}, note=note)
    now = [0.0]
    planner = BudgetPlanner(
        settings, engine, lambda: now[0], Decisions(), 20.0, ((1.0, 0.25), (0.5, 0.25), (0.25, 0.5)),
        lambda: (0.01, overhead), **given,
    )  # fmt: skip
    load = on_workers(plan, overhead)

    def spend(part: Callable[[Estimate], float]) -> None:
        now[0] += 0.01 * slower * part(Estimate(load, settings.repeats, 20.0, planner.survivors))
        lanes = Estimate(lanes_together, settings.repeats, 20.0, planner.survivors)
        engine.costs.lane_epochs += 0.8 * part(lanes)

    while size := planner.next_size():
        spend(lambda estimate, size=size: estimate.generation(size))
    finalists, repeats = planner.confirmation(max(1, sum(planner.sizes) // 4))
    spend(lambda estimate: estimate.confirmation(finalists + planner.others, repeats))
    return planner, now[0] if settings.budget and Budget.of(settings.budget).timed else engine.costs.lane_epochs


@pytest.mark.parametrize("slower", [0.7, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("overhead", [0.0, 10.0])
@pytest.mark.parametrize("budget", ["150s", "10m", "1h"])
def test_a_budget_in_time_is_kept_whatever_steps_seemed_to_take(budget: str, overhead: float, slower: float) -> None:
    planner, spent = simulated(RaceSettings(budget=budget), slower, overhead, finish=3.0)
    whole = Budget.of(budget).amount
    assert 0.6 * whole < spent + planner.finish <= whole
    assert len(planner.sizes) >= (3 if spent / slower > 100 else 2)
    assert planner.decisions.made["confirmation"]["finalists"] >= 2
    assert planner.decisions.made["generation 1"].get("overhead_lanes") == overhead


@pytest.mark.parametrize("given", [{}, {"step": 4, "others": 1}])
@pytest.mark.parametrize("budget", ["500ep", "2000ep", "20000ep"])
def test_a_budget_in_epochs_is_kept(budget: str, given: dict[str, int]) -> None:
    planner, spent = simulated(RaceSettings(budget=budget, repeats=4), **given)
    assert 0.6 * Budget.of(budget).amount < spent <= Budget.of(budget).amount
    assert planner.decisions.made["confirmation"]["repeats"] % given.get("step", 1) == 0


@pytest.mark.parametrize(("budget", "least"), [("70ep", "ep here"), ("0.5s", "s here")])
def test_a_budget_too_small_says_what_the_least_is(budget: str, least: str) -> None:
    with pytest.raises(
        InputError, match=rf"budget = '{budget}': must be at least \d+{least} for the smallest"
    ) as caught:
        simulated(RaceSettings(budget=budget))
    said = str(caught.value).split("at least ")[1].split(" ")[0]
    planner, _ = simulated(RaceSettings(budget=said))
    assert len(planner.sizes) == 1
    assert 2 <= planner.sizes[0] <= 4


def test_a_budget_too_small_leaves_no_folder(tmp_path: Path) -> None:
    RunFolder(tmp_path / "plans").write_plans(eager_plans(SPACE))
    plans = tmp_path / "plans" / "engine.json"
    with pytest.raises(InputError, match="must be at least"):
        lw.race(Task(model, rows()), SPACE, out=tmp_path / "run", budget="1ep", engine=plans)
    assert not (tmp_path / "run").exists()


class Tells(Observer):
    """Keeps (share done, seconds left)."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float | None]] = []

    def show(self, progress: Progress) -> None:
        self.told.append((progress.done, progress.seconds_left))


@pytest.fixture(scope="module")
def by_the_clock(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path], Study, Tells]:
    """A finished race by time, and copies of its folder around each decision and some checkpoints, what it told."""
    place, rename, tells = tmp_path_factory.mktemp("timed"), os.replace, Tells()
    cut: list[Path] = []
    calls = itertools.count()

    def copying(source: str, target: str) -> None:
        if wanted := Path(target).name == "decisions.json" or next(calls) % 9 == 5:
            cut.append(Path(shutil.copytree(place / "run", place / f"{len(cut):03d}")))
        rename(source, target)
        if wanted:
            cut.append(Path(shutil.copytree(place / "run", place / f"{len(cut):03d}")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", copying)
        ran = study(RunFolder(place / "run"), observer=tells)
        ran.run()
    unfinished = [path for path in cut if (path / "run.json").exists() and not (path / "verdict.json").exists()]
    return place / "run", unfinished, ran, tells


def test_a_race_by_the_clock_keeps_its_time_and_says_how_long_it_takes(
    by_the_clock: tuple[Path, list[Path], Study, Tells],
) -> None:
    run, _, ran, tells = by_the_clock
    # The least confirmation may cost more than is left of so little.
    assert 0.6 * 12 < ran.elapsed() <= 1.25 * 12
    lefts = [left for _, left in tells.told if left is not None]
    assert len(lefts) == len(tells.told)
    assert 8 < lefts[0] <= 12.5
    assert lefts[-1] < 1
    assert tells.told[-1][0] > 0.95
    made = json.loads((run / "decisions.json").read_text())
    assert len(ran.candidates) == sum(one.get("candidates", 0) for one in made.values())
    assert ran.verdict.test.repeats == ran.confirm == made["confirmation"]["repeats"]
    assert len(ran.verdict.finalists) == len(ran.confirmed) == made["confirmation"]["finalists"]


def test_a_race_by_the_clock_goes_on_as_if_never_cut_off(
    by_the_clock: tuple[Path, list[Path], Study, Tells],
) -> None:
    run, cut, _, _ = by_the_clock
    made = json.loads((run / "decisions.json").read_text())
    known = {}
    for path in cut:
        there = json.loads((path / "decisions.json").read_text()) if (path / "decisions.json").exists() else {}
        assert there.items() <= made.items()
        known[len(there)] = path
    assert set(known) == set(range(len(made) + 1))
    for path in list(known.values())[1::2]:
        study(RunFolder.reopened(path)).run()
        assert json.loads((path / "decisions.json").read_text()) == made
        assert record(path) == record(run)


def test_what_is_on_record_is_done_however_slow_the_machine_is_now(tmp_path: Path) -> None:
    class Stops(Observer):
        def show(self, progress: Progress) -> None:
            if progress.phase.startswith("race, generation 2"):
                raise KeyboardInterrupt

    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        study(folder, observer=Stops(), every=60).run()
    made = json.loads(folder.decided.read_text())
    # As if it had been killed before the first checkpoint: everything is drawn again.
    folder.checkpoints.remove()
    again = study(RunFolder.reopened(folder.path), seconds=9 * SECONDS_OF_A_LANE_EPOCH, observer=Stops(), every=60)
    with pytest.raises(KeyboardInterrupt):
        again.run()
    assert again.planner.sizes == [made["generation 1"]["candidates"], made["generation 2"]["candidates"]]
    assert again.planner.decisions.made == made


@pytest.mark.parametrize("content", ["{", "[]", '{"generation 1": 3}', '{"generation 1": {"candidates": 2.5}}'])
def test_damaged_decisions_are_refused(content: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    study(folder)._write_settings(folder)
    folder.decided.write_text(content)
    with pytest.raises(InputError, match=r"decisions\.json: "):
        study(RunFolder.reopened(folder.path))


def test_steps_are_timed_for_a_race_by_the_clock() -> None:
    ran = Study(Task(model, rows()), SPACE, replace(BY_TIME, budget="1h"), threads=1, plans=eager_plans(SPACE))
    lane, overhead = ran._timed()
    assert lane > 0
    assert 0 <= overhead <= 1000
    assert isinstance(ran.engine, Engine)


def test_a_time_that_is_nearly_enough_is_taken_with_a_note() -> None:
    with pytest.raises(InputError, match="must be at least") as caught:
        simulated(RaceSettings(budget="0.5s"), overhead=100.0)
    least = float(str(caught.value).split("at least ")[1].split("s ")[0])
    notes: list[str] = []
    planner, _ = simulated(RaceSettings(budget=f"{least * 0.8:.0f}s"), overhead=100.0, note=notes.append)
    assert len(planner.sizes) == 1
    assert [note.startswith(f"the smallest race takes about {least:.0f}s here, more than") for note in notes] == [True]
