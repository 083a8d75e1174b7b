"""What a model holds comes back from its file, or is refused before training."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import lanewise as lw
from lanewise.cli import app
from lanewise.predictor import save_model
from lanewise.task.outputs import outputs_of
from lanewise.task.weights import check_savable, stored
from lanewise.train import train

X = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
RECIPE = lw.Recipe(optimizer=lw.SGD(lr=0.5), batch_size=12, epochs=1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x)


class Features(Net):
    """Random features in a buffer that is not saved by torch, and a shift in no buffer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("directions", torch.randn(6, 6), persistent=False)
        self.shift = torch.rand(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.cos(x @ self.directions + self.shift))


class Running(Net):
    """A mean of the inputs, learnt in training, that torch does not save."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(6), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.middle.lerp_(x.detach().mean(0), 0.5)
        return self.out(torch.tanh(x - self.middle))


class Columns(Net):
    """Weights that lie in memory by columns."""

    def __init__(self) -> None:
        super().__init__()
        self.out.weight = nn.Parameter(torch.randn(6, 2).t())


class Tied(Net):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.b(torch.relu(self.a(x))))


class Counts(Net):
    extra: ClassVar[Any] = {"seen": [1, 2], "name": "counts"}

    def get_extra_state(self) -> Any:
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.given = state


class Tensors(Counts):
    extra: ClassVar[Any] = torch.arange(3)


class Complex(Net):
    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.complex(torch.ones(6), torch.rand(6)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out((x * self.turn).abs())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model", [Features, Running, Columns, Tied, Counts, Tensors, Complex])
def test_the_loaded_model_predicts_as_the_trained_one(model: Any, dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    check_savable(model, path)
    trained = train(lw.Task(model, (X, Y)), RECIPE, dtype=dtype)
    save_model(trained, path)
    loaded = lw.load_model(path, model)
    with torch.no_grad():
        assert torch.equal(loaded(X), outputs_of(trained.model, trained.scale.apply(X, dtype)))
    if issubclass(model, Counts):
        assert torch.equal(loaded.model.given, model.extra) if model is Tensors else loaded.model.given == model.extra


class Sets(Counts):
    extra: ClassVar[Any] = {"a set": {1}}


class Forgets(Net):
    def get_extra_state(self) -> Any:
        return {"seen": 1}


class Sparse(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("graph", torch.eye(6).to_sparse())


REFUSED = {
    Sets: r"save: _extra_state: get_extra_state\(\) gives a dict; must be a tensor or plain data",
    Forgets: "save: the model cannot be loaded again from what it saves",
    Sparse: r"save: graph is torch.sparse_coo: must be a dense tensor",
}


@pytest.mark.parametrize("model", REFUSED)
def test_what_no_file_holds_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(lw.InputError, match=REFUSED[model]):
        check_savable(model, tmp_path / "m.safetensors")


def test_the_command_refuses_before_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_models.py").write_text("from tests.test_weights import Sets\n")
    Path("r.yaml").write_text("lanewise: 1\noptimizer: sgd(lr=0.1)\nepochs: 1\n")
    given = ["train", "r.yaml", "--data", "digits", "--model", "own_models:Sets", "--save"]
    for path, message in (("m.safetensors", "get_extra_state"), ("nowhere/m.safetensors", "cannot be written")):
        done = CliRunner().invoke(app, [*given, path])
        assert isinstance(done.exception, lw.InputError)
        assert message in str(done.exception)
        assert "step" not in done.output
    assert not Path("m.safetensors").exists()


def test_a_full_disk_is_seen_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lanewise.task.weights.shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10_000}))
    with pytest.raises(lw.InputError, match="cannot be written: the model takes 1 MiB and 0 are free"):
        check_savable(Net, tmp_path / "m.safetensors")


def test_every_tensor_has_memory_of_its_own() -> None:
    tensors, _ = stored(Tied())
    assert tensors["a.weight"].data_ptr() != tensors["b.weight"].data_ptr()
    assert all(one.is_contiguous() for one in stored(Columns())[0].values())


def test_early_stopping_brings_back_buffers_that_no_state_holds() -> None:
    class Seen(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("steps", torch.zeros(()), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                self.steps.add_(1)
            return self.out(x)

    recipe = lw.Recipe(optimizer=lw.SGD(lr=lw.Linear() * 50.0), batch_size=12, epochs=4, early_stopping="25%")
    trained = train(lw.Task(Seen, (X, Y)), recipe)
    assert trained.model.steps.item() == trained.weights_of
