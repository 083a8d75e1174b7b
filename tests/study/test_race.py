"""Whole races on a small task: what is found, what is written, what the test rows are used for."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.schedules import Constant, Cosine
from lanewise.recipe.file import from_dict, load, read
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.record import traces
from lanewise.record.candidate import Candidate
from lanewise.record.folder import RunFolder
from lanewise.sampling.sampler import Sampler
from lanewise.sampling.samplers import quiet
from lanewise.statistics.differences import lead_of
from lanewise.statistics.intervals import fraction_interval
from lanewise.study.confirmation import diverged_late
from lanewise.study.progress import Observer, Progress
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings, with_overrides
from lanewise.task.task import Task
from lanewise.verdict.verdict import Verdict

SPACE = Recipe(
    optimizer=SGD(lr=log(1e-2, 1.0) * choice(Constant(), Cosine()), momentum=uniform(0.0, 0.9)),
    dropout=uniform(0.0, 0.3),
    batch_size=16,
    epochs=2,
)
SETTINGS = RaceSettings(candidates=6, repeats=2, generations=2, pruner="halving", finalists=2, confirm=2, seed=1)
STEPS = 8
"""Of a run: 72 training rows are 4 batches of 16 an epoch."""
FILES = [
    "best.yaml",
    "candidates.parquet",
    "engine.json",
    "run.json",
    "space.yaml",
    "study.db",
    "traces.parquet",
    "verdict.json",
]


def rows(seed: int = 5, spread: float = 1.5) -> tuple[Tensor, Tensor]:
    """120 rows around three centres."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(120) % 3
    centres = 2 * torch.randn(3, 6, generator=torch.Generator().manual_seed(5))
    return centres[y] + spread * torch.randn(120, 6, generator=generator), y


def tiny() -> nn.Module:
    """A small perceptron."""
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 3))


class Everything(dict[str, Plan]):
    """A plan for every structure, so that nothing is measured."""

    def __missing__(self, structure: str) -> Plan:
        return Plan(packed=True, compiled=False, width=4, workers=1, threads=1)

    def __contains__(self, structure: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True


def study(space: Recipe = SPACE, settings: RaceSettings = SETTINGS, data: Any = None, **given: Any) -> Study:
    """A study of the small task that measures nothing."""
    given = {"plans": Everything(), "threads": 1, **given}
    return Study(Task(tiny, rows() if data is None else data), space, settings, **given)


def without_times(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain data, timings excepted."""
    return {name: value for name, value in verdict.to_dict().items() if name != "seconds"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, RunFolder]:
    """A race with its folder."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "a race")
    finished = study(folder=folder)
    finished.run()
    return finished, folder


@pytest.fixture(scope="module")
def trials(run: tuple[Study, RunFolder]) -> list[optuna.trial.FrozenTrial]:
    """The record of the race, as Optuna reads it."""
    with quiet():
        return optuna.load_study(study_name="race", storage=f"sqlite:///{run[1].database}").trials


def test_the_verdict_says_what_was_found(run: tuple[Study, RunFolder]) -> None:
    found = run[0].verdict
    data = found.to_dict()
    assert set(data) >= {
        "winner",
        "test",
        "difference",
        "tied",
        "candidates",
        "lane_steps",
        "seconds",
        "engine",
    }
    assert data["candidates"] == 6
    assert 0.7 < data["test"]["mean"] <= 1
    assert data["test"]["low"] <= data["test"]["mean"] <= data["test"]["high"]
    assert data["test"]["repeats"] == data["difference"]["repeats"] == SETTINGS.confirm
    assert set(data["seconds"]) == {"total", "train", "compile", "trials"}
    assert 0 < data["seconds"]["train"] < data["seconds"]["total"]
    assert from_dict(data["winner"]) == found.winner == run[0].candidates[data["winner_candidate"]].recipe
    assert not found.winner.is_space
    means = [float(finalist.scores.mean()) for finalist in found.finalists]
    assert means == sorted(means, reverse=True)
    assert all(len(finalist.scores) == SETTINGS.confirm for finalist in found.finalists)
    assert set(data["tied"]) <= {f.candidate for f in found.finalists[1:]}


def test_the_files_hold_what_was_found(run: tuple[Study, RunFolder]) -> None:
    finished, folder = run
    assert sorted(path.name for path in folder.path.iterdir()) == FILES
    assert read(folder.best) == (finished.verdict.winner, {})
    assert read(folder.path / "space.yaml") == (SPACE, {})
    assert json.loads((folder.path / "verdict.json").read_text()) == finished.verdict.to_dict()
    settings = json.loads((folder.path / "run.json").read_text())
    assert settings["settings"]["candidates"] == 6
    assert settings["model"] == "tiny"
    plans = json.loads((folder.path / "engine.json").read_text())
    assert plans == finished.verdict.engine
    assert list(plans) == [str(finished.verdict.winner.structure())]
    assert Plan.from_dict(next(iter(plans.values())), "").packed


def test_the_curves_of_all_lanes_are_written(run: tuple[Study, RunFolder]) -> None:
    finished, folder = run
    written = traces.read(folder.traces)
    names = ["phase", "candidate", "repeat", "progress", "training_loss", "validation_loss", "metric"]
    assert written.column_names == names
    table = {name: np.array(written[name].to_pylist()) for name in names}
    for candidate in finished.candidates:
        for repeat, points in candidate.curves.items():
            own = (table["phase"] == "race") & (table["candidate"] == candidate.number) & (table["repeat"] == repeat)
            assert np.array_equal(np.stack([table[name][own] for name in names[3:]], axis=1), np.array(points))
    confirmed = table["phase"] == "confirmation"
    assert set(table["repeat"][confirmed]) == {2, 3}
    assert set(table["repeat"][~confirmed]) == {0, 1}
    assert set(table["candidate"][confirmed]) == {finalist.candidate for finalist in finished.verdict.finalists}


def test_all_candidates_are_written_with_their_recipes(run: tuple[Study, RunFolder]) -> None:
    finished, folder = run
    written = traces.read(folder.candidates).to_pylist()
    assert [load(row["recipe"])[0] for row in written] == [candidate.recipe for candidate in finished.candidates]
    for row, candidate in zip(written, finished.candidates, strict=True):
        assert (row["candidate"], row["generation"], row["stopped_at"], row["diverged"], row["loss"], row["score"]) == (
            candidate.number, candidate.generation, candidate.stopped_at, 0, candidate.loss, candidate.score,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"verdict\.json: cannot be read: "):
        traces.read(folder.verdict)


def test_who_leaves_trains_no_further(run: tuple[Study, RunFolder], trials: list[optuna.trial.FrozenTrial]) -> None:
    finished, _ = run
    # Of each generation of three, two stay at a quarter and one at the half.
    assert sorted(c.stopped_at or 1.0 for c in finished.candidates) == [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    for candidate, trial in zip(finished.candidates, trials, strict=True):
        end = candidate.stopped_at or 1.0
        assert all(points[-1][0] == end for points in candidate.curves.values())
        assert trial.state == (TrialState.PRUNED if candidate.stopped_at else TrialState.COMPLETE)
        assert len(trial.intermediate_values) == {0.25: 1, 0.5: 2, 1.0: 2}[end]
        # Optuna gives a trial that was pruned the last of its intermediate values.
        assert trial.value == (
            trial.intermediate_values[len(trial.intermediate_values)]
            if candidate.stopped_at
            else 1 - candidate.score + 0.01 * candidate.loss / (1 + candidate.loss)
        )
    assert {finalist.candidate for finalist in finished.verdict.finalists} == {
        candidate.number for candidate in finished.candidates if candidate.stopped_at is None
    }


def test_every_step_is_counted(run: tuple[Study, RunFolder]) -> None:
    race = 2 * (3 * 2 + 2 * 2 + 1 * 4)
    assert run[0].verdict.lane_steps == 2 * race + 2 * 2 * STEPS


def test_the_same_seed_finds_the_same_with_and_without_a_record(run: tuple[Study, RunFolder]) -> None:
    assert without_times(study().run()) == without_times(run[0].verdict)


def test_another_seed_draws_others(run: tuple[Study, RunFolder]) -> None:
    other = study(settings=replace(SETTINGS, seed=2)).run()
    assert other.to_dict()["winner"] != run[0].verdict.to_dict()["winner"]


def test_a_plan_that_was_written_is_taken_again(run: tuple[Study, RunFolder]) -> None:
    plans = {key: Plan.from_dict(plan, "") for key, plan in run[0].verdict.engine.items()}
    again = study(plans=plans).run()
    assert without_times(again) == without_times(run[0].verdict)
    with pytest.raises(InputError, match="knows no lanes of this structure"):
        study(plans={"another": next(iter(plans.values()))}).run()


def test_a_race_that_measures_says_what_it_chose() -> None:
    measured = study(plans=None).run()
    (plan,) = measured.engine.values()
    assert plan["timings"]
    assert measured.seconds["trials"] > 0
    assert not plan["compiled"], "too short a race for compiling to pay"


def test_without_a_optimizer_everybody_trains_to_the_end() -> None:
    finished = study(settings=replace(SETTINGS, pruner="none", finalists=3))
    verdict = finished.run()
    assert all(candidate.stopped_at is None for candidate in finished.candidates)
    assert all(points[-1][0] == 1.0 for c in finished.candidates for points in c.curves.values())
    assert len(verdict.finalists) == 3
    best = sorted(finished.candidates, key=lambda candidate: candidate.loss)[:3]
    assert {finalist.candidate for finalist in verdict.finalists} == {candidate.number for candidate in best}
    assert verdict.lane_steps == (6 * 2 + 3 * 2) * STEPS


def test_the_test_rows_are_used_for_the_winner_and_the_runner_up_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    true_test_rows = Cohort.test_rows

    def heard(cohort: Cohort, candidates: Iterable[int]) -> dict[int, np.ndarray]:
        listed = list(candidates)
        asked.append([str(cohort.recipes[candidate]) for candidate in listed])
        return true_test_rows(cohort, listed)

    monkeypatch.setattr(Cohort, "test_rows", heard)
    finalists = study(settings=replace(SETTINGS, pruner="none", finalists=3)).run().finalists
    assert asked == [[str(finalist.recipe) for finalist in finalists[:2]]]


def test_nothing_is_chosen_by_the_test_rows() -> None:
    x, y = rows(seed=9)
    right = study(data=(*rows(), x, y)).run()
    wrong = study(data=(*rows(), -x, y.flip(0))).run()
    data, other = without_times(right), without_times(wrong)
    assert data["test"]["mean"] > other["test"]["mean"] + 0.2
    for name in ("test", "difference", "references", "classes", "headline", "sentences"):
        del data[name], other[name]
    assert data == other


def test_the_test_score_is_that_of_the_winner_in_all_fresh_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[int, np.ndarray] = {}
    true_test_rows = Cohort.test_rows

    def kept(cohort: Cohort, candidates: Iterable[int]) -> dict[int, np.ndarray]:
        listed = list(candidates)
        answer = true_test_rows(cohort, listed)
        found.update({at: answer[candidate] for at, candidate in enumerate(listed)})
        return answer

    monkeypatch.setattr(Cohort, "test_rows", kept)
    verdict = study().run()
    assert found[0].shape == (SETTINGS.confirm, 24)
    assert verdict.test == fraction_interval(found[0])
    assert verdict.difference == lead_of(found[0], found[1])


def test_candidates_that_diverge_are_recorded_and_lose(tmp_path: Path) -> None:
    space = replace(SPACE, optimizer=SGD(lr=choice(0.1, 1e38), momentum=uniform(0.0, 0.9)))
    folder = RunFolder(tmp_path / "run")
    finished = study(space, replace(SETTINGS, pruner="none"), folder=folder)
    verdict = finished.run()
    bad = [candidate for candidate in finished.candidates if candidate.recipe.optimizer.lr == 1e38]
    assert 0 < len(bad) < 6
    assert all(candidate.diverged.keys() == {0, 1} and np.isnan(candidate.loss) for candidate in bad)
    assert not any(candidate.diverged for candidate in finished.candidates if candidate not in bad)
    assert all(finalist.recipe.optimizer.lr == 0.1 for finalist in verdict.finalists)
    # Without rungs nobody can have left.
    assert verdict.diverged_late == verdict.diverged == len(bad)
    with quiet():
        recorded = optuna.load_study(study_name="race", storage=f"sqlite:///{folder.database}").trials
    assert {trial.number for trial in recorded if trial.user_attrs.get("diverged")} == {each.number for each in bad}


def test_divergence_after_the_last_rung_is_told_from_one_before_it() -> None:
    finished = study(replace(SPACE, epochs=4))
    steps = 4 * finished.engine.feed(finished.space, 0).steps_per_epoch
    one = Candidate(0, Sampler(finished.space, 0, None).ask(1, 0)[0], 0)
    for at, left, late in ((steps // 2 - 1, None, False), (steps // 2, None, True), (steps // 2, 0.5, False)):
        assert diverged_late(replace(one, diverged={1: at}, stopped_at=left), finished._rungs, finished.engine) is late
    assert diverged_late(one, finished._rungs, finished.engine) is False


@pytest.mark.parametrize("pruner", ["halving", "none"])
def test_a_space_in_which_every_candidate_diverges_is_refused(pruner: str, tmp_path: Path) -> None:
    space = replace(SPACE, optimizer=SGD(lr=uniform(1e37, 1e38)))
    with pytest.raises(InputError, match=r"every candidate diverged: .* lower its learning rates") as caught:
        study(space, replace(SETTINGS, pruner=pruner), folder=RunFolder(tmp_path / "run")).run()
    assert "\n" not in str(caught.value)
    assert not {"best.yaml", "verdict.json"} & {path.name for path in (tmp_path / "run").iterdir()}


class Stops(Observer):
    """Breaks off when the study is in the phase `phase`, at the call number `call`."""

    def __init__(self, phase: str, call: int) -> None:
        self.phase, self.left = phase, call

    def show(self, progress: Progress) -> None:
        self.left -= progress.phase.startswith(self.phase)
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("phase", "call"), [("race", 1), ("race", 6), ("confirming", 1), ("confirming", 4)])
def test_a_race_that_is_stopped_leaves_no_result(phase: str, call: int, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        study(folder=folder, observer=Stops(phase, call)).run()
    assert sorted(path.name for path in folder.path.iterdir()) == ["engine.json", "run.json", "space.yaml", "study.db"]
    with quiet():
        recorded = optuna.load_study(study_name="race", storage=f"sqlite:///{folder.database}").trials
    assert len(recorded) == (3 if (phase, call) == ("race", 1) else 6)


class Listens(Observer):
    """Remembers everything."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.shown: list[Progress] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)


def test_who_watches_is_told_how_it_goes() -> None:
    observer = Listens()
    study(observer=observer).run()
    assert "tiny on arrays: 96 examples to train and validate on, 24 to test on" in observer.notes
    assert any(line.startswith("model: Linear 6-8") for line in observer.notes)
    assert any(line.startswith("engine: ") for line in observer.notes)
    assert not any("\n" in line for line in observer.notes)
    phases = list(dict.fromkeys(progress.phase for progress in observer.shown))
    assert phases == [
        "race, generation 1 of 2",
        "race, generation 2 of 2",
        "confirming 2 finalists in 2 new training runs",
    ]
    shares = [progress.done for progress in observer.shown]
    assert all(0 < share <= 1 for share in shares)
    assert shares == sorted(shares)
    assert shares[-1] > 0.8
    assert [progress.drawn for progress in observer.shown][::4] == [3, 6, 6]
    assert observer.shown[0].standings[0].loss == min(standing.loss for standing in observer.shown[0].standings)


@pytest.mark.parametrize(
    "space",
    [
        replace(SPACE, optimizer=choice(SGD(lr=log(1e-2, 1)), Adam(lr=log(1e-3, 1e-1)))),
        replace(SPACE, batch_size=integer(8, 16)),
        replace(SPACE, norm=choice("own", "identity")),
    ],
    ids=["optimizers", "batch sizes", "normalisations"],
)
def test_candidates_of_several_structures_race_together(space: Recipe) -> None:
    verdict = study(space).run()
    assert len(verdict.engine) > 1
    assert verdict.test.mean > 0.6
    assert not verdict.winner.is_space


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"candidates": 1}, r"candidates = 1: must be an integer in \[2, inf\)"),
        ({"candidates": 2.5}, "candidates = 2.5: must be an integer"),
        ({"candidates": True}, "candidates = True: must be an integer"),
        ({"repeats": 0}, r"repeats = 0: must be an integer in \[1, inf\)"),
        ({"generations": 0}, "generations = 0"),
        ({"finalists": 1}, r"finalists = 1: must be an integer in \[2, inf\)"),
        ({"confirm": 1}, r"confirm = 1: must be an integer in \[2, inf\)"),
        ({"seed": -1}, r"seed = -1: must be an integer in \[0, inf\)"),
        ({"pruner": "best"}, "pruner = 'best': must be one of lanewise, cut, halving, hyperband, median, none"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RaceSettings(**given)


def test_there_are_as_many_finalists_as_the_race_is_large() -> None:
    assert [RaceSettings(candidates=n).most_finalists for n in (2, 8, 12, 24, 1000)] == [2, 2, 3, 6, 6]
    assert RaceSettings(candidates=2, finalists=9).most_finalists == 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: study(choose_all(SPACE), folder=folder), "there is nothing to choose"),
        (lambda folder: study(replace(SPACE, batch_size=73), folder=folder), "73.*72"),
        (lambda folder: study(device="nonsense", folder=folder), "device = 'nonsense': not usable here"),
        (lambda folder: study(threads=0, folder=folder), "threads = 0: must be an integer"),
    ],
    ids=["no space", "batch", "device", "threads"],
)
def test_a_mistake_is_found_before_anything_is_written(
    make: Callable[[RunFolder], Study], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        make(RunFolder(tmp_path / "run"))
    assert not list((tmp_path / "run").iterdir())


def choose_all(space: Recipe) -> Recipe:
    """A recipe of `space`."""
    return replace(space, optimizer=SGD(lr=0.1), dropout=0.1)


def test_length_and_batch_size_are_replaced_where_they_are_given() -> None:
    assert with_overrides(SPACE, None, None) is SPACE
    assert with_overrides(SPACE, 7, None) == replace(SPACE, epochs=7)
    assert with_overrides(SPACE, 7, 5) == replace(SPACE, epochs=7, batch_size=5)
    with pytest.raises(InputError, match=r"Recipe.epochs = 0"):
        with_overrides(SPACE, 0, None)


def test_a_candidate_that_diverges_gives_up_its_places() -> None:
    space = replace(SPACE, optimizer=SGD(lr=choice(0.1, 0.2, 1e20)), dropout=0.0, epochs=4)
    ran = study(space, replace(SETTINGS, candidates=6, generations=1, pruner="none"))
    ran.run()
    lost = [candidate for candidate in ran.candidates if candidate.recipe.optimizer.lr == 1e20]
    kept = [candidate for candidate in ran.candidates if candidate not in lost]
    assert lost
    assert kept
    assert all(len(points) == 1 for candidate in lost for points in candidate.curves.values())
    assert all(len(points) == 4 for candidate in kept for points in candidate.curves.values())
    steps = 4 * 4  # four epochs of four batches
    confirmed = 2 * steps * len(ran.confirmed)
    assert ran.verdict.lane_steps == confirmed + 2 * (steps * len(kept) + steps // 4 * len(lost))
