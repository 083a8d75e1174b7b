"""A trained model comes back from its file and predicts what it did."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import lanewise as lw
from lanewise.errors import InputError
from lanewise.predictor import save_model
from lanewise.task.outputs import run_model
from lanewise.train import train
from tests.lanes.test_kinds import KINDS, task
from tests.warm_process import lanewise

RECIPE = lw.Recipe(optimizer=lw.SGD(lr=0.1, momentum=0.9), batch_size=8, epochs=3)


def normed() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 4))


@pytest.mark.parametrize("name", KINDS)
def test_predictions_are_those_of_the_model_that_was_trained(name: str, tmp_path: Path) -> None:
    made = task(KINDS[name])
    trained = train(made, RECIPE)
    save_model(trained, tmp_path / "a model.safetensors")
    predictor = lw.load_model(tmp_path / "a model.safetensors", KINDS[name].model)
    x = made.source.x
    with torch.no_grad():
        wanted = run_model(trained.model, trained.scale.apply(x))
    found, scale = predictor(x), trained.target_scale
    assert torch.equal(found, wanted if scale is None else scale.invert(wanted.reshape(found.shape)))


@pytest.mark.parametrize("norm", ["own", "layer", "group", "identity"])
def test_what_the_recipe_made_of_the_model_is_made_again(norm: str, tmp_path: Path) -> None:
    x, y = torch.randn(80, 12) * 9 + 40, torch.arange(80) % 4
    recipe = replace(RECIPE, norm=norm, norm_groups=3, ema=0.5)
    trained = train(lw.Task(normed, (x, y, x, y)), recipe)
    save_model(trained, tmp_path / "m.safetensors")
    predicted = lw.load_model(tmp_path / "m.safetensors", normed)(x.numpy()).argmax(1)
    assert (predicted == y).double().mean().item() == pytest.approx(trained.test[1], abs=1e-12)


class Counting(nn.Module):
    """Scales by the number of its training passes, which stands in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.passes = nn.Linear(12, 4), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += self.training
        found: torch.Tensor = self.layer(x) / (1 + self.passes)
        return found


def test_plain_attributes_that_training_changed_are_saved_too(tmp_path: Path) -> None:
    x, y = torch.randn(80, 12), torch.arange(80) % 4
    trained = train(lw.Task(Counting, (x, y, x, y)), RECIPE)
    save_model(trained, tmp_path / "m.safetensors")
    loaded = lw.load_model(tmp_path / "m.safetensors", Counting)
    assert loaded.model.passes == trained.model.passes == 3 * (60 // 8)
    with torch.no_grad():
        assert torch.equal(loaded(x), trained.model(trained.scale.apply(x)))


def test_attributes_that_cannot_be_saved_are_named_by_a_warning(tmp_path: Path) -> None:
    trained = replace(train(lw.Task(Counting, (torch.randn(80, 12), torch.arange(80) % 4)), RECIPE), attributes=None)
    with pytest.warns(UserWarning, match="to something that cannot be saved; the file holds weights and buffers alone"):
        save_model(trained, tmp_path / "m.safetensors")
    assert lw.load_model(tmp_path / "m.safetensors", Counting).model.passes == 0


def test_numbers_come_in_the_unit_of_the_data(tmp_path: Path) -> None:
    x = torch.randn(200, 3)
    y = 1000 + 50 * x[:, 0]
    trained = train(lw.Task(lambda: nn.Linear(3, 1), (x, y)), replace(RECIPE, epochs=20))
    save_model(trained, tmp_path / "m.safetensors")
    found = lw.load_model(tmp_path / "m.safetensors", lambda: nn.Linear(3, 1))(x)
    assert (found - y).abs().max() < 5


def wrong_weights() -> nn.Module:
    return nn.Linear(12, 4)


@pytest.mark.parametrize(
    ("content", "factory", "message"),
    [
        (None, normed, "no such file"),
        (b"nothing", normed, "was not written by lanewise train --save"),
        ("theirs", normed, "was not written by lanewise train --save"),
        ("ours", wrong_weights, "its weights do not fit the model"),
    ],
)
def test_other_files_are_refused(content: Any, factory: Any, message: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "m.safetensors"
    if content == "theirs":
        save_file({"weight": torch.zeros(2)}, path)
    elif content == "ours":
        x = torch.randn(80, 12)
        save_model(train(lw.Task(normed, (x, torch.arange(80) % 4)), RECIPE), path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(lw.InputError, match=message):
        lw.load_model(path, factory)


@pytest.mark.slow
def test_what_the_command_saves_is_loaded(tmp_path: Path) -> None:
    x, y = torch.randn(80, 12), torch.arange(80) % 4
    np.savez(tmp_path / "mine.npz", x=x.numpy(), y=y.numpy(), x_test=x.numpy(), y_test=y.numpy())
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\n"
        "def net():\n    return nn.Sequential(nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Linear(9, 4))\n"
    )
    (tmp_path / "best.yaml").write_text("lanewise: 1\nnorm: layer\nbatch_size: 8\nepochs: 2\n")
    words = ["train", "best.yaml", "--data", "mine.npz", "--model", "mine:net", "--save", "m.safetensors", "--json"]
    status, out, error = lanewise(tmp_path, *words)
    assert status == 0, error
    printed = float(out.split('"accuracy": ')[1].split("}")[0])
    factory = lambda: nn.Sequential(nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Linear(9, 4))  # noqa: E731
    predicted = lw.load_model(tmp_path / "m.safetensors", factory)(x).argmax(1)
    assert (predicted == y).double().mean().item() == pytest.approx(printed, abs=1e-9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda index: index["inputs"].update(kind=10**9),
        lambda index: index["inputs"].update(kind=["a", "a"]),
        lambda index: index["inputs"].update(shapes=[[10**12]]),
        lambda index: index["inputs"].update(shapes=[[2**20, 2**20]]),
        lambda index: index["inputs"].update(mean=[[0.0] * 7]),
        lambda index: index["inputs"].update(std=[[0.0] * 4]),
        lambda index: index.update(recipe=index["recipe"] + "width: 1000000000\n"),
        lambda index: index.update(model="mlp:1000000000"),
        lambda index: index.update(outputs=10**12),
        lambda index: index.update(targets={"mean": [0.0], "std": "wide"}),
    ],
)
def test_sizes_in_a_header_are_bounded_by_the_file(damage: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    task = lw.Task("mlp:3", (x, (x[:, 0] > 0).long()))
    path = tmp_path / "model.safetensors"
    save_model(train(task, lw.Recipe(optimizer=lw.SGD(lr=0.1), batch_size=8, epochs=1)), path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    index = json.loads(header["__metadata__"]["lanewise"])
    index["model"] = "mlp:3"
    path.write_bytes(safetensors.torch.save(safetensors.torch.load(content), {"lanewise": json.dumps(index)}))
    assert lw.load_model(path)(x).shape == (40, 2)
    damage(index)
    path.write_bytes(safetensors.torch.save(safetensors.torch.load(content), {"lanewise": json.dumps(index)}))
    with pytest.raises(InputError, match=r"^model file"):
        lw.load_model(path)
