"""What may not be gone on with, or not be touched: changed code, links, files of others; and signals that end a run."""

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from torch import Tensor, nn

import lanewise as lw
from lanewise.cli.stopping import resumable
from lanewise.errors import InputError
from lanewise.record.behaviour import behaviour, difference
from lanewise.record.folder import LOCK, RunFolder
from lanewise.study.progress import Observer, Progress
from lanewise.study.race import Study
from lanewise.task.task import Task
from tests.record.records import SETTINGS, SPACE, eager_plans, model, rows


class Stops(Observer):
    """Presses Ctrl-C in the second generation."""

    def show(self, progress: Progress) -> None:
        if progress.phase.startswith("race, generation 2"):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a race that was stopped."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    race = Study(
        Task(model, rows()), SPACE, SETTINGS, folder=folder, observer=Stops(), plans=eager_plans(), threads=1, every=0
    )
    with pytest.raises(KeyboardInterrupt):
        race.run()
    return folder.path


def copy_of(path: Path, place: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(path, place / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Turned(nn.Module):
    """The model with a layer's work done otherwise, which neither weights nor names of layers show."""

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).mul(self.factor)


def with_layer(at: int, layer: nn.Module) -> nn.Module:
    made = model()
    made[at] = layer
    return made


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == targets).float()


def wrong(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) != targets).float()


def loss_of(factor: float) -> Callable[..., Tensor]:
    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return factor * nn.functional.cross_entropy(net(batch[0]), batch[1])

    return loss


def but_one_class(outputs: Tensor, targets: Tensor) -> Tensor:
    return absolute(outputs, targets) * (targets != 2)


class Clamped(nn.Module):
    """The model with a bound that its outputs for ordinary inputs are far from."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).clamp(-8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.net = model()


class Unbounded(Clamped):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class OnlySingle(Unbounded):
    """Fails in float64, which tells that the code is another one."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float64:
            raise TypeError("float32 only")
        return self.net(x).mul(2)


class Counted(nn.Linear):
    """Says which of all models it is."""

    made = 0

    def __init__(self) -> None:
        super().__init__(6, 3)
        Counted.made += 1
        self.number = Counted.made

    def extra_repr(self) -> str:
        return f"number {self.number}"


for one in (wrong, but_one_class):
    one.__name__ = "absolute"
for kind in (Unbounded, OnlySingle):
    kind.__name__ = "Clamped"
CODE: dict[str, tuple[Callable[[], Task], Callable[[], Task], str]] = {
    "activation": (
        lambda: Task(model, rows()),
        lambda: Task(lambda: with_layer(2, nn.Tanh()), rows()),
        r"'\(2\): ReLU\(\)' is '\(2\): Tanh\(\)' now",
    ),
    "dropout": (
        lambda: Task(model, rows()),
        lambda: Task(lambda: with_layer(3, nn.Dropout(0.2)), rows()),
        r"Dropout\(p=0.1",
    ),
    "forward": (
        lambda: Task(lambda: Turned(model(), 1.0), rows()),
        lambda: Task(lambda: Turned(model(), 1.001), rows()),
        "on the same rows, outputs came out differently",
    ),
    "objective": (
        lambda: Task(model, rows(), loss_of(1.0)),
        lambda: Task(model, rows(), loss_of(2.0)),
        "losses of rows came out differently",
    ),
    "metric": (
        lambda: Task(model, rows(), metric=absolute),
        lambda: Task(model, rows(), metric=wrong),
        "scores of rows came out differently",
    ),
    "metric of one class": (
        lambda: Task(model, rows(), metric=absolute),
        lambda: Task(model, rows(), metric=but_one_class),
        "scores .* came out differently",
    ),
    "a bound": (
        lambda: Task(Clamped, rows()),
        lambda: Task(Unbounded, rows()),
        "losses for large inputs came out differently",
    ),
    "type": (
        lambda: Task(Unbounded, rows()),
        lambda: Task(OnlySingle, rows()),
        "in float64 they fail now, or give other numbers each time",
    ),
}


@pytest.mark.parametrize("what", CODE)
def test_changed_code_is_noticed_and_the_same_code_is_not(what: str) -> None:
    before, after, message = CODE[what]
    known = json.loads(json.dumps(behaviour(before())))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert difference(known, before()) is None
    finally:
        torch.set_num_threads(threads)
    found = difference(known, after())
    assert found
    assert re.search(message, found)


def test_a_model_that_counts_its_copies_is_not_taken_for_changed_code() -> None:
    known = json.loads(json.dumps(behaviour(Task(Counted, rows()))))
    assert difference(known, Task(Counted, rows())) is None


def test_a_run_of_changed_code_is_refused_and_left_as_it_was(cut: Path, tmp_path: Path) -> None:
    run = copy_of(cut, tmp_path)
    before = contents(run)
    with pytest.raises(InputError, match=r"changed since the run began: .*ReLU.*Tanh") as caught:
        lw.resume(run, CODE["activation"][1]())
    assert "\n" not in str(caught.value)
    assert contents(run) == before


def test_what_is_not_ours_is_left_alone(cut: Path, tmp_path: Path) -> None:
    run = copy_of(cut, tmp_path)
    mine = [run / "checkpoints" / name for name in ("000001-mine.safetensors", ".mine.abc.partial")]
    mine += [run / ".notes.txt.abc.partial"]
    for path in mine:
        path.write_text("mine")
    lw.resume(run, Task(model, rows()))
    assert [path.read_text() for path in mine] == ["mine"] * 3


@pytest.mark.parametrize("name", ["checkpoints", LOCK])
def test_nothing_is_changed_through_a_link(name: str, cut: Path, tmp_path: Path) -> None:
    run = copy_of(cut, tmp_path)
    (run / LOCK).unlink(missing_ok=True)
    (other := tmp_path / "other").mkdir()
    if name == LOCK:
        (run / LOCK).symlink_to(other / "lock")
    else:
        (run / name).rename(other / name)
        (run / name).symlink_to(other / name)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is a link; must be a f") as caught:
        lw.resume(run, Task(model, rows()))
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_it_gives_the_command_that_goes_on(
    name: str, cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(cut, tmp_path)
    before = signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        with pytest.raises(typer.Exit) as caught, resumable(run, as_json=False):
            signal.raise_signal(getattr(signal, name))
    finally:
        signal.signal(getattr(signal, name), before)
    assert caught.value.exit_code == 130
    assert "stopped; all up to the last checkpoint is kept" in " ".join(capsys.readouterr().err.split())
