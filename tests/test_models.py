import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

from lanewise.errors import InputError
from lanewise.task import models
from lanewise.task.objectives import Classification


def check_output(model, x, classes):
    models.check_output(model, Classification(), x, torch.zeros(len(x), dtype=torch.long), classes)


def kinds(model):
    return [type(layer).__name__ for layer in model]


def test_mlp_is_the_perceptron_of_the_table():
    model = models.build("mlp", (64,), 10)()
    assert kinds(model) == ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(128, 64), (128,), (128,), (10, 128), (10,)]
    assert model[1].bias is None
    assert model[2].momentum == 0.1
    assert model[4].p == 0.0


def test_mlp_with_sizes():
    model = models.build("mlp:32,16", (1, 5, 4), 3)()
    hidden = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert kinds(model) == ["Flatten", *hidden, *hidden, "Linear"]
    assert [layer.out_features for layer in model if isinstance(layer, nn.Linear)] == [32, 16, 3]


def test_cnn():
    model = models.build("cnn", (1, 8, 8), 10)()
    block = ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert kinds(model) == [*block, *block, "Flatten", "Dropout", "Linear"]
    assert [(layer.out_channels, layer.bias) for layer in model if isinstance(layer, nn.Conv2d)] == [
        (16, None),
        (32, None),
    ]
    assert model[-1].in_features == 32 * 2 * 2


@pytest.mark.parametrize("name", ["mlp", "mlp:7,5,3", "cnn", "cnn:32,64", "cnn:4,4,4"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 9, 11)])
def test_built_in_models_train_and_evaluate(name, shape):
    model = models.build(name, shape, 10)()
    check_output(model, torch.rand(2, *shape), 10)
    model(torch.rand(4, *shape)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_factory_draws_from_the_seeded_generator_and_pickles():
    factory = models.build("cnn:4", (1, 8, 8), 3)
    weights = []
    for make in (factory, pickle.loads(pickle.dumps(factory))):
        torch.manual_seed(3)
        weights.append(torch.cat([parameter.flatten() for parameter in make().parameters()]))
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], torch.cat([parameter.flatten() for parameter in factory().parameters()]))


@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        (
            "resnet",
            (64,),
            r"model 'resnet' is unknown: must be mlp, mlp:256,256, cnn, cnn:16,32, "
            r"timm:resnet18, transformers:bert or package\.module:factory",
        ),
        ("", (64,), "model '' is unknown"),
        (":make", (64,), "model ':make' is unknown"),
        ("nets:", (64,), "model 'nets:' is unknown"),
        ("mlp:", (64,), r"model 'mlp:': sizes '' must be integers in \[1, 65536\]"),
        ("mlp:0", (64,), "sizes '0' must be integers"),
        ("mlp:128,-1", (64,), "sizes '128,-1' must be"),
        ("mlp:65537", (64,), "sizes '65537' must be"),
        ("mlp:" + "9" * 5000, (64,), "must be integers in"),
        ("mlp:12.5", (64,), "sizes '12.5' must be"),
        ("mlp:1_0", (64,), "sizes '1_0' must be"),
        ("cnn:x", (1, 8, 8), "sizes 'x' must be"),
        ("cnn", (64,), r"model 'cnn' needs images \[channels, height, width\]; a row here is \[64\]"),
        ("cnn:4,4,4,4", (1, 8, 8), "halves the image 4 times; 8 x 8 allows at most 3"),
        ("cnn:4,4", (1, 28, 3), "halves the image 2 times; 28 x 3 allows at most 1"),
        ("cnn:4", (1, 28, 1), "halves the image 1 times; 28 x 1 allows at most 0"),
    ],
)
def test_unknown_models_are_refused(name, shape, match):
    with pytest.raises(InputError, match=match) as caught:
        models.build(name, shape, 10)
    assert "\n" not in str(caught.value)


USER = """
from torch import nn
import numpy as np

answer = 42
ready = nn.Linear(2, 2)

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 3))

    @classmethod
    def wide(cls):
        return cls()

def late():
    import lanewise_user_helper
    return lanewise_user_helper.make()

def with_arguments(width): return Net()
def fails(): raise RuntimeError("two\\nlines")
def returns_none(): pass
def _private(): pass
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module in the current folder; it and its helper are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lanewise_user_net.py").write_text(USER)
    (tmp_path / "lanewise_user_helper.py").write_text("from lanewise_user_net import Net as make")
    (tmp_path / "lanewise_user_package").mkdir()
    (tmp_path / "lanewise_user_package" / "deep.py").write_text(USER)
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("lanewise_user"):
            del sys.modules[name]


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize("factory", ["net:Net", "net:Net.wide", "net:late", "package.deep:Net"])
def test_a_users_factory_is_imported_from_the_current_folder(factory):
    path = list(sys.path)
    model = models.build(f"lanewise_user_{factory}", (4,), 3)()
    check_output(model, torch.rand(2, 4), 3)
    assert type(model).__name__ == "Net"
    assert sys.path == path


@pytest.mark.usefixtures("user_module")
def test_the_current_folder_comes_first(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lanewise_user_net.py").write_text("")
    monkeypatch.syspath_prepend(elsewhere)
    assert type(models.build("lanewise_user_net:Net", (4,), 3)()).__name__ == "Net"


@pytest.mark.usefixtures("user_module")
def test_each_call_makes_a_new_model():
    factory = models.build("lanewise_user_net:Net", (4,), 3)
    assert factory() is not factory()


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "lanewise_user_absent:Net",
            r"there is no module 'lanewise_user_absent' in the current folder \(.*must be mlp, ",
        ),
        ("lanewise_user_package.absent:Net", r"there is no module 'lanewise_user_package\.absent'"),
        ("lanewise_user_absent.deep:Net", "there is no module 'lanewise_user_absent'"),
        ("lanewise_user_net:net", r"has no 'net'; it has Net, fails, late, returns_none, with_arguments$"),
        ("lanewise_user_net:answer", "is an int; must be a function or class"),
        ("lanewise_user_net:ready", "is a model already; must be a function or class that makes a new one"),
        (".relative:Net", "importing .relative raised TypeError"),
    ],
)
def test_what_cannot_be_found_is_named(name, match):
    path = list(sys.path)
    with pytest.raises(InputError, match=match) as caught:
        models.build(name, (4,), 3)
    assert str(caught.value).startswith(f"model '{name}'")
    assert sys.path == path


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("import lanewise_user_nowhere", "raised ModuleNotFoundError: No module named 'lanewise_user_nowhere'"),
        ("def broken(:", "raised SyntaxError"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("raise SystemExit(2)", "raised SystemExit: 2"),
        ("", "has no 'Net'; it defines no function or class"),
    ],
)
@pytest.mark.usefixtures("user_module")
def test_a_module_that_fails_is_named(tmp_path, text, match):
    (tmp_path / "lanewise_user_broken.py").write_text(text)
    with pytest.raises(InputError, match=f"model 'lanewise_user_broken:Net': .*{match}") as caught:
        models.build("lanewise_user_broken:Net", (4,), 3)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize(
    ("factory", "match"),
    [
        ("with_arguments", "called without arguments, it raised TypeError: .*missing 1 required positional argument"),
        ("fails", "called without arguments, it raised RuntimeError: two lines$"),
        ("returns_none", r"returned a NoneType; must return a torch\.nn\.Module"),
    ],
)
def test_a_factory_that_fails_is_named(factory, match):
    make = models.build(f"lanewise_user_net:{factory}", (4,), 3)
    with pytest.raises(InputError, match=f"model 'lanewise_user_net:{factory}': {match}"):
        make()


class Gives(nn.Module):
    """Returns `value(x)`."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value(x)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (lambda x: x[:, :3], r"model returns torch\.float32 of shape \[5, 3\] on inputs of shape \[5, 4\]: must be"),
        (lambda x: x[:2, :2], r"of shape \[2, 2\]"),
        (lambda x: x[:, 0], r"of shape \[5\]"),
        (lambda x: x[:, :2, None], r"of shape \[5, 2, 1\]"),
        (lambda x: x[:, :2].int(), r"model returns torch\.int32"),
        (lambda x: (x, x), r"model returns tuple whose \[0\] is torch\.float32 of shape \[5, 4\]"),
        (lambda x: np.zeros((5, 2)), "model returns a ndarray"),
        (lambda x: x @ x, r"model fails on inputs of shape \[5, 4\]: RuntimeError: mat1 and mat2"),
    ],
)
def test_a_model_that_does_not_fit_the_classes_is_refused(value, match):
    with pytest.raises(InputError, match=match) as caught:
        check_output(Gives(value), torch.rand(5, 4), 2)
    assert "\n" not in str(caught.value)


def test_the_check_leaves_no_trace():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), Gives(torch.rand_like), nn.Linear(6, 2))
    model[1].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    check_output(model, torch.rand(5, 4, generator=torch.Generator()), 2)
    assert [module.training for module in model] == [True, False, True, True, True]
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_modes_are_restored_after_a_failure():
    model = Gives(lambda x: x @ x)
    with pytest.raises(InputError):
        check_output(model, torch.rand(5, 4), 2)
    assert model.training


def test_descriptions():
    assert models.describe(models.build("cnn:4", (1, 8, 8), 3)()) == (
        "Conv2d 1-4, BatchNorm2d, ReLU, MaxPool2d, Flatten, Dropout, Linear 64-3; 239 parameters"
    )
    deep = models.build("mlp:8,8,8,8", (4,), 3)()
    assert models.describe(deep) == "1 Flatten, 5 Linear, 4 BatchNorm1d, 4 ReLU, 4 Dropout; 315 parameters"
