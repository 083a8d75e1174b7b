"""A race that was cut off goes on to the same end, bit for bit, wherever it was cut and whatever was damaged."""

import json
import os
import random
import resource
import shlex
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import lanewise as lw
from lanewise import cli
from lanewise.base import files
from lanewise.cli.stopping import resumable
from lanewise.errors import InputError, WriteError
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.recipe.ranges import choice
from lanewise.recipe.recipe import Recipe
from lanewise.record.checkpoint import Checkpoints
from lanewise.record.folder import LOCK, RunFolder
from lanewise.record.lock import Lock
from lanewise.study.progress import Observer, Progress
from lanewise.study.race import Study
from lanewise.task.task import Task
from tests.record.records import SETTINGS, SPACE, eager_plans, model, record, rows

RESUMED = 6
"""Of the places where a race can be cut off: as many are tried for each model."""


class Drawing(nn.Module):
    """A perceptron that draws its mask itself, so that its lanes run one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(self.first(x).relu(), 0.2, self.training))


MODELS: dict[str, Callable[[], nn.Module]] = {"packed": model, "looped": Drawing}
SPACES = {"packed": SPACE, "looped": replace(SPACE, optimizer=SGD(lr=choice(0.01, 0.03, 0.1, 0.2)))}


class Listens(Observer):
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def study(folder: RunFolder, how: str = "packed", observer: Observer | None = None, **given: Any) -> Study:
    """A study that writes a checkpoint whenever it can."""
    plans = eager_plans(SPACES[how])
    if how == "looped":
        plans = {key: replace(plan, packed=False, width=1) for key, plan in plans.items()}
    given = {"space": SPACES[how], "plans": plans, **given}
    return Study(
        Task(MODELS[how], rows()), settings=SETTINGS, folder=folder, observer=observer, threads=1, every=0, **given
    )


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Copies of the folders of two races just before and after each file was renamed; the last one is finished."""
    copies: dict[str, list[Path]] = {}
    rename = os.replace
    for how in MODELS:
        place = tmp_path_factory.mktemp(how)
        seen: list[Path] = []

        def copying(
            source: str, target: Path, run: Path = place / "run", place: Path = place, seen: list[Path] = seen
        ) -> None:
            for whole in (False, True):
                if whole:
                    rename(source, target)
                seen.append(place / f"{len(seen):03d}")
                shutil.copytree(run, seen[-1])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files.os, "replace", copying)
            study(RunFolder(place / "run"), how).run()
        copies[how] = [*(path for path in seen if is_cut_off(path)), place / "run"]
    return copies


def is_cut_off(path: Path) -> bool:
    """Whether there is a run in `path` that is not finished."""
    return (path / "run.json").exists() and not (path / "verdict.json").exists()


def copy_of(path: Path, place: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(path, place / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", MODELS)
@pytest.mark.parametrize("part", range(RESUMED))
def test_a_race_cut_off_anywhere_ends_as_if_it_never_was(
    how: str, part: int, cut: dict[str, list[Path]], tmp_path: Path
) -> None:
    *places, whole = cut[how]
    assert len(places) > 5 * RESUMED
    # One of every tenth of the way, so that all generations and the confirmation are cut.
    tenth = places[part * len(places) // RESUMED : (part + 1) * len(places) // RESUMED]
    run = copy_of(random.Random(part).choice(tenth), tmp_path)
    found = lw.resume(run, Task(MODELS[how], rows()))
    assert record(run) == record(whole)
    assert found.verdict.to_dict()["test"] == record(whole)["verdict"]["test"]
    assert (run / "report.html").stat().st_size > 10_000


def test_what_was_cut_off_holds_all_that_a_lane_remembers(cut: dict[str, list[Path]]) -> None:
    names: set[str] = set()
    stages, reduced = set(), 0
    for path in cut["packed"][:-1]:
        for checkpoint in Checkpoints(path / "checkpoints").paths()[:1]:
            with safetensors.safe_open(checkpoint, "pt") as file:
                names |= {name.split(".", 2)[2] for name in file.keys()}  # noqa: SIM118
                data = json.loads(file.metadata()["lanewise"])
            stages.add(data["generation"])
            packs = [pack for group in data["cohort"]["groups"] for pack in group]
            reduced += any(one["factor"] < 1 for pack in packs for _, heard in pack["plateaus"] for one in heard)
    assert stages == {0, 1, None}
    assert reduced, "a plateau has lowered a rate"
    assert any(name.startswith("best.") for name in names), "the best weights of lanes that may stop early"
    assert any(name.startswith("table.") for name in names)
    assert "0.losses" in names, "a checkpoint between two evaluations"


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "renamed"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_taken(
    damage: str, cut: dict[str, list[Path]], tmp_path: Path
) -> None:
    run = copy_of(cut["packed"][-30], tmp_path)
    newest, before, *_ = Checkpoints(run / "checkpoints").paths()
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[random.Random(0).randrange(len(content))] ^= 1
    newest.write_bytes({"short": content[:-1], "empty": b""}.get(damage, bytes(content)))
    if damage == "renamed":
        digit = "0" if newest.stem[-1] != "0" else "1"
        newest = newest.rename(newest.with_name(newest.stem[:-1] + digit + ".safetensors"))
    observer = Listens()
    lw.resume(run, Task(model, rows()), observer=observer)
    (line,) = [note for note in observer.notes if "damaged" in note]
    assert line.startswith(newest.name)
    assert not any(before.name in note for note in observer.notes)
    assert record(run) == record(cut["packed"][-1])


def test_where_all_checkpoints_are_damaged_the_race_starts_again(cut: dict[str, list[Path]], tmp_path: Path) -> None:
    run = copy_of(cut["packed"][-20], tmp_path)
    for path in Checkpoints(run / "checkpoints").paths():
        path.write_bytes(path.read_bytes()[:-1] + b"\xff\xff")
    observer = Listens()
    lw.resume(run, Task(model, rows()), observer=observer)
    assert sum("damaged" in note for note in observer.notes) >= 2
    assert "resuming from the start: there is no complete checkpoint" in observer.notes
    assert record(run) == record(cut["packed"][-1])


class FillsTheDisk(Observer):
    """From the call number `call` in the phase `phase` on, no file grows beyond `size` bytes."""

    def __init__(self, phase: str, call: int, size: int) -> None:
        self.phase, self.left, self.size = phase, call, size

    def show(self, progress: Progress) -> None:
        self.left -= progress.phase.startswith(self.phase)
        if self.left == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def disk() -> Iterator[None]:
    """Gives the space back."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("phase", "call", "file"),
    [("race, generation 2", 3, "checkpoints"), ("race, generation 1", 1, "study.db"), ("confirming", 2, "checkpoints")],
)
def test_a_full_disk_ends_in_one_line_and_leaves_a_checkpoint(
    phase: str, call: int, file: str, disk: None, cut: dict[str, list[Path]], tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(WriteError, match="cannot be written") as caught:
        study(folder, observer=FillsTheDisk(phase, call, 4096)).run()
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).startswith(str(folder.path / file))
    assert "\n" not in str(caught.value)
    assert folder.checkpoints.paths()
    assert folder.checkpoints.newest(lambda note: pytest.fail(note))
    lw.resume(folder.path, Task(model, rows()))
    assert record(folder.path) == record(cut["packed"][-1])


def test_a_lane_that_diverged_is_still_diverged(tmp_path: Path) -> None:
    space = Recipe(optimizer=SGD(lr=choice(0.1, 0.05, 1e38)), batch_size=12, epochs=2)
    given: dict[str, Any] = {"space": space, "plans": eager_plans(space)}
    whole = study(RunFolder(tmp_path / "whole"), **given)
    whole.run()
    assert any(candidate.diverged for candidate in whole.candidates)

    class Stops(Observer):
        shown = 0

        def show(self, progress: Progress) -> None:
            self.shown += progress.phase.startswith("race, generation 2")
            if self.shown == 2:
                raise KeyboardInterrupt

    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        study(folder, observer=Stops(), **given).run()
    lw.resume(folder.path, Task(model, rows()))
    assert record(folder.path) == record(tmp_path / "whole")


def changed(what: str) -> Task:
    """The task with one thing about it changed."""
    x, y = rows()
    if what == "a value":
        x[7, 3] += 1e-6
    if what == "a label":
        y[0], y[1] = y[1].clone(), y[0].clone()
    if what == "the rows":
        x, y = x[:-3], y[:-3]
    wider = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
    return Task((lambda: wider) if what == "the model" else model, (x, y))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a value", r"the data changed since the run began: x was float32 \[120, 6\] .{8}, is float32"),
        ("a label", r"the data changed since the run began: y was int64 \[120\]"),
        ("the rows", r"x was float32 \[120, 6\] .{8}, is float32 \[117, 6\]"),
        ("the model", r"the model changed since the run began: 0.weight was float32 \[8, 6\] .*, is float32 \[9, 6\]"),
    ],
)
def test_another_task_is_refused_and_nothing_is_changed(
    what: str, message: str, cut: dict[str, list[Path]], tmp_path: Path
) -> None:
    run = copy_of(cut["packed"][20], tmp_path)
    before = contents(run)
    with pytest.raises(InputError, match=message) as caught:
        lw.resume(run, changed(what))
    assert "\n" not in str(caught.value)
    assert contents(run) == before


def set_version(run: Path, version: Any) -> None:
    """Make the run one of another version."""
    data = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(data | {"lanewise": version}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda run: (run / "run.json").unlink(), "holds no run: there is no run.json in it"),
        (lambda run: (run / "run.json").write_text("{"), "run.json: cannot be read"),
        (lambda run: (run / "run.json").write_text("[]"), "run.json: must be a JSON object"),
        (
            lambda run: set_version(run, 2),
            "another version of Lanewise, which wrote format 2; this one resumes format 4",
        ),
        (lambda run: set_version(run, None), "wrote format None"),
        (lambda run: (run / "engine.json").write_text("{]"), "engine.json: cannot be read"),
    ],
    ids=["no folder", "no run", "half a file", "no object", "older", "no version", "engine"],
)
def test_what_is_no_run_is_refused_and_nothing_is_changed(
    spoil: Callable[[Path], Any], message: str, cut: dict[str, list[Path]], tmp_path: Path
) -> None:
    run = copy_of(cut["packed"][20], tmp_path)
    spoil(run)
    before = contents(run)
    with pytest.raises(InputError, match=message) as caught:
        lw.resume(run, Task(model, rows()))
    assert "\n" not in str(caught.value)
    assert contents(run) == before


def test_the_users_own_task_must_be_given_again(cut: dict[str, list[Path]]) -> None:
    with pytest.raises(InputError, match="its model, model, is not built in, and a record names no code to import"):
        lw.resume(cut["packed"][20])


def test_a_finished_race_says_so_with_its_verdict(cut: dict[str, list[Path]], tmp_path: Path) -> None:
    run = copy_of(cut["packed"][-1], tmp_path)
    before = contents(run)
    with pytest.raises(InputError, match=r"is finished: Best recipe: "):
        lw.resume(run, Task(model, rows()))
    # As if it had been killed just after the verdict was written.
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / f"000001-{64 * '0'}.safetensors").touch()
    shown = CliRunner().invoke(cli.app, ["resume", str(run), "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout) == json.loads(before["verdict.json"])
    assert contents(run) == before


def test_one_process_at_a_time(cut: dict[str, list[Path]], tmp_path: Path) -> None:
    run = copy_of(cut["packed"][20], tmp_path)
    (run / LOCK).unlink()
    before = contents(run)
    lock = Lock(run / LOCK)
    assert lock.take()
    assert not Lock(run / LOCK).take()
    with pytest.raises(InputError, match="this run is going on in another process"):
        lw.resume(run, Task(model, rows()))
    lock.release()
    assert contents(run) == before
    assert lock.take(), "free again"
    lock.release()


def test_a_new_race_does_not_take_the_folder_of_an_unfinished_one(cut: dict[str, list[Path]], tmp_path: Path) -> None:
    run = copy_of(cut["packed"][20], tmp_path)
    before = contents(run)
    with pytest.raises(InputError, match="holds an unfinished run; go on with: ") as caught:
        RunFolder(run)
    assert f"lanewise.resume({str(run)!r}, task) in Python" in str(caught.value)
    assert shlex.split(str(caught.value).split("remove it with: ")[1]) == ["rm", "-r", str(run)]
    assert contents(run) == before


@pytest.mark.parametrize(
    ("known", "command"),
    [
        ({}, "lanewise resume {run}"),
        ({"model_built_in": False, "model_given": "a.b:make"}, "lanewise resume {run} --model a.b:make"),
        ({"data_built_in": False, "data_given": "/a b/c.npz"}, "lanewise resume {run} --data '/a b/c.npz'"),
        (
            {"drawing": {"storage": "postgresql://me@host/races", "password": True}},
            "lanewise resume {run} --storage postgresql://me:PASSWORD@host/races",
        ),
        ({"drawing": {"storage": "mysql://host/x"}}, "lanewise resume {run} --storage mysql://host/x"),
    ],
)
def test_the_command_that_resumes_names_what_must_be_given_again(
    known: dict[str, Any], command: str, cut: dict[str, list[Path]], tmp_path: Path
) -> None:
    run = copy_of(cut["packed"][20], tmp_path)
    data = json.loads((run / "run.json").read_text())
    data |= {"model_built_in": True, "model_given": "mlp", "data_built_in": True, "data_given": "digits", **known}
    (run / "run.json").write_text(json.dumps(data))
    assert RunFolder.reopened(run).resume_command() == command.format(run=shlex.quote(str(run)))


def test_a_full_disk_names_the_command_that_goes_on(
    cut: dict[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_of(cut["packed"][20], tmp_path)
    data = json.loads((run / "run.json").read_text())
    known = {
        "model_built_in": True,
        "model": "mlp",
        "model_given": "mlp",
        "data_built_in": True,
        "data_given": "digits",
    }
    (run / "run.json").write_text(json.dumps(data | known))

    def full(*_: Any, **__: Any) -> None:
        raise WriteError("x: cannot be written: No space left on device")

    monkeypatch.setattr("lanewise.api.resume.resume", full)
    before = signal.getsignal(signal.SIGTERM)
    shown = CliRunner().invoke(cli.app, ["resume", str(run)])
    assert signal.getsignal(signal.SIGTERM) is before
    assert isinstance(shown.exception, InputError)
    assert str(shown.exception) == (
        "x: cannot be written: No space left on device; once that is mended, go on with: "
        f"lanewise resume {shlex.quote(str(run))}"
    )


def test_what_was_killed_before_there_was_a_record_can_be_begun_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / LOCK).touch()
    (run / ".run.json.abc.partial").write_text("{")
    study(RunFolder(run)).run()
    assert not {LOCK, ".run.json.abc.partial"} & {path.name for path in run.iterdir()}


def test_a_plan_is_on_record_before_the_first_step_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lanewise.lanes.packs.pack import Block

    folder = RunFolder(tmp_path / "run")
    known: list[int] = []
    run = Block.run

    def watched(block: Block, *given: Any) -> None:
        known.append(len(json.loads(folder.engine.read_text())))
        run(block, *given)

    monkeypatch.setattr(Block, "run", watched)
    two = study(folder)
    two.run()
    assert known[0] == known[-1] == len(two.engine.plans) == 2


def test_measured_plans_are_not_measured_again(
    cut: dict[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_of(cut["packed"][30], tmp_path)
    data = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(data | {"plans": None}))

    def measured(*_: Any) -> Plan:
        raise AssertionError("measured")

    monkeypatch.setattr("lanewise.lanes.packs.engine.choose_plan", measured)
    lw.resume(run, Task(model, rows()))
    assert record(run) == record(cut["packed"][-1])


def test_a_model_whose_weights_follow_from_no_seed_is_named() -> None:
    from lanewise.record.identity import model_checksums

    state = torch.Generator().manual_seed(0)

    def unsteady() -> nn.Module:
        made = model()
        with torch.no_grad():
            made[0].weight += torch.rand(8, 6, generator=state)
        return made

    assert model_checksums(Task(unsteady, rows())) is None
    assert model_checksums(Task(model, rows())) is not None


def test_a_verdict_whose_report_has_no_room_is_not_lost(
    cut: dict[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(cut["packed"][20], tmp_path)

    def full(*_: Any) -> None:
        raise WriteError("report.html: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lanewise.report.page.race.write", full)
        refused = pytest.raises(
            InputError, match=r"report.html: cannot be written: .*; once that is mended, go on with"
        )
        with refused, resumable(run, as_json=True):
            lw.resume(run, Task(model, rows()))
    shown = json.loads(capsys.readouterr().out)
    assert not (run / "verdict.json").exists(), "or nobody could write the report any more"
    steps = Counter[str]()
    monkeypatch.setattr(Cohort, "advance", lambda *_: steps.update(["advanced"]))
    lw.resume(run, Task(model, rows()))
    assert not steps
    assert json.loads((run / "verdict.json").read_text())["test"] == shown["test"]
    monkeypatch.undo()
    assert record(run) == record(cut["packed"][-1])
    assert (run / "report.html").exists()
