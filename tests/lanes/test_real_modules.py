"""Models that `torch.func` cannot take, or takes for others than they are: their lanes equal each trained alone."""

import random
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lanewise.errors import InputError
from lanewise.lanes.model.lane_layers import draw_shapes, start_calls, with_lane_layers
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD, Adam, Optimizer, ScheduleFreeSGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import all_bits, plan, rows

OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "sgd": lambda rate: SGD(lr=rate, momentum=0.9),
    "adam": lambda rate: Adam(lr=0.1 * rate),
}
COUNT = 0


class Pair(nn.Module):
    """Two layers; what stands between them is what the models below differ in."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 9), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(torch.tanh(self.first(x)))
        return found


class Closures(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(9)
        self.parts = [lambda x: self.norm(self.first(x)), lambda x: self.last(torch.tanh(x))]

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


class Hooked(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Linear(9, 9)
        self.first.register_forward_hook(lambda layer, given, out: self.middle(out))


class Listed(Pair):
    """Its batch norm would be replaced in the module, and not in the list."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(9)
        self.order = [self.first, self.norm, self.last]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.order:
            x = layer(x)
        return x


class Unregistered(Pair):
    """A layer that no optimizer knows, with weights of its own in every repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = {"middle": nn.Linear(9, 9).double()}

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.hidden["middle"](torch.tanh(self.first(x)).double()).to(x))
        return found


class Halved(torch.autograd.Function):
    """In the old style, which functions cannot be made of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 0.5 * gradient


class OldStyle(Pair):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(Halved.apply(torch.tanh(self.first(x))))  # type: ignore[no-untyped-call]
        return found


class Checkpointed(Pair):
    def __init__(self, reentrant: bool = False) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        found: Tensor = checkpoint(self.last, hidden, use_reentrant=self.reentrant)
        return found


class Sparse(Pair):
    """A sparse gradient, of a lookup by the largest value of each row."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(12, 4))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + F.embedding(x.argmax(1), self.table, sparse=True)


class Locked(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Clamped(Pair):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.first.weight.clamp_(-0.2, 0.2)
        return super().forward(x)


class Counting(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.state: dict[str, Any] = {"steps": 0, "means": []}

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        if self.training:
            self.state["steps"] += 1
            self.state["means"].append(out.mean().item())
        return out / (1 + 0.1 * self.state["steps"]) - sum(self.state["means"][-2:])


class Averaging(Pair):
    """Keeps a running mean in a plain attribute, which the first step makes."""

    mean: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        if self.training:
            self.mean = out.detach().mean(0) if self.mean is None else 0.9 * self.mean + 0.1 * out.detach().mean(0)
        return out if self.mean is None else out - self.mean


class HookCounting(Pair):
    def __init__(self) -> None:
        super().__init__()
        calls = 0

        def hook(layer: nn.Module, given: Any, out: Tensor) -> Tensor:
            nonlocal calls
            calls += layer.training
            return out / (1 + 0.1 * calls)

        self.first.register_forward_hook(hook)


class GlobalCounting(Pair):
    def forward(self, x: Tensor) -> Tensor:
        global COUNT
        COUNT += self.training
        return super().forward(x) / (1 + 0.1 * COUNT)


class OwnGenerator(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.draws = np.random.default_rng(5)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (float(self.draws.random()) if self.training else 1.0)


class Merging(Pair):
    """Merges a part of its weights into the others to evaluate, as adapters do."""

    def __init__(self) -> None:
        super().__init__()
        self.extra, self.merged = nn.Parameter(torch.randn(9, 12)), False

    def train(self, mode: bool = True) -> "Merging":
        super().train(mode)
        if self.merged is mode:
            self.first.weight.data += self.extra.data * (-1 if mode else 1)
            self.merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.merged else self.last(torch.tanh(self.first(x) + x @ self.extra.T))


class Remembering(Pair):
    """Computes something once for an evaluation, of weights that will be others in the next."""

    doubled: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.doubled = None
        elif self.doubled is None:
            self.doubled = 2 * self.first.weight.detach()
        weight = 2 * self.first.weight if self.doubled is None else self.doubled
        found: Tensor = self.last(torch.tanh(F.linear(x, weight)))
        return found


class Branching(Pair):
    """Takes one of two branches by the rows that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        found: Tensor = (self.last if x[:, 0].mean() > 0 else self.other)(hidden)
        return found


class Idle(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return Pair.forward(self, x)


def old_weight_norm() -> nn.Module:
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(12, 9)), nn.Tanh(), nn.Linear(9, 4))


REAL: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "closures": (Closures, r"reaches first\.bias, first\.weight, .* in a way that a copy of the model does not follow"),
    "hook": (Hooked, r"reaches middle\.bias, middle\.weight in"),
    "list": (Listed, r"reaches .*norm\.bias, norm\.weight"),
    "unregistered": (Unregistered, r"hidden\['middle'\]\.bias, .* differs from repeat to repeat"),
    "old function": (OldStyle, "cannot take OldStyle: RuntimeError: In order to use an autograd.Function"),
    "checkpoint": (Checkpointed, "cannot take Checkpointed: "),
    "re-entrant": (lambda: Checkpointed(True), "cannot take Checkpointed: "),
    "sparse": (Sparse, "the gradients of table are sparse"),
    "weight norm": (old_weight_norm, "cannot take Linear 0, whose weight a hook computes"),
    "lock": (Locked, r"cannot take a copy of the model: TypeError: cannot pickle '_thread\.lock' object"),
    "clamped": (Clamped, "a forward pass changes the parameters first.weight themselves"),
    "counting": (Counting, "a forward pass changes state, which goes with each lane"),
    "averaging": (Averaging, "a forward pass changes mean, which goes"),
    "hook counting": (HookCounting, r"a forward pass changes first\.hook\.calls, which goes"),
    "global": (GlobalCounting, "a forward pass changes global COUNT, which goes"),
    "generator": (OwnGenerator, "a forward pass changes draws, which goes"),
    "merging": (Merging, "in evaluation it reaches other layers or tensors"),
    "remembering": (Remembering, "in evaluation it changes doubled, which must go with each lane"),
}
"""What runs in a real module, and what is said of it."""


def recipe_of(optimizer: str = "sgd", rate: float = 0.1, **more: Any) -> Recipe:
    return Recipe(optimizer=OPTIMIZERS[optimizer](rate), decay=0.1, l1=1e-3, batch_size=16, epochs=2, **more)


def engine(
    model: Callable[[], nn.Module], given: Plan | None, recipe: Recipe, notes: list[str] | None = None
) -> Engine:
    plans = None if given is None else {str(recipe.structure()): given}
    note = [].append if notes is None else notes.append
    return Engine(Task(model, rows("mlp")), 3, threads=1, dtype=torch.float64, plans=plans, note=note)


def losses_of(run: Engine, recipes: list[Recipe]) -> np.ndarray:
    """Validation losses [recipes, 2 repeats] after the whole run, with an evaluation on the way."""
    cohort = Cohort(run, recipes, [0, 1])
    cohort.advance(0.5)
    cohort.evaluate()
    cohort.advance(1.0)
    return cohort.evaluate().loss


def alone(model: Callable[[], nn.Module], recipes: list[Recipe]) -> np.ndarray:
    """The same, each trained by `lanewise.train`."""

    def loss(recipe: Recipe, repeat: int) -> float:
        global COUNT
        COUNT = 0
        found = train(Task(model, rows("mlp")), recipe, seed=3, repeat=repeat, dtype=torch.float64).validation
        # Lanes that start later begin as these did.
        COUNT = 0
        assert found is not None
        return found[0]

    return np.array([[loss(recipe, repeat) for repeat in (0, 1)] for recipe in recipes])


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("name", REAL)
def test_lanes_in_a_real_module_equal_training_alone(name: str) -> None:
    model, why = REAL[name]
    recipes = [recipe_of(rate=0.1), recipe_of(rate=0.05)]
    notes: list[str] = []
    # The plan given does not fit, and the one that does is taken.
    run = engine(model, plan("packed"), recipes[0], notes)
    assert losses_of(run, recipes) == pytest.approx(alone(model, recipes), rel=1e-9)
    (chosen,) = run.plans.values()
    assert (chosen.packed, chosen.width, chosen.workers, chosen.real) == (False, 1, 1, True)
    assert re.search(why, next(note for note in notes if "does not fit" in note))
    run.close()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("how", ["packed", "looped"])
@pytest.mark.parametrize("model", [Branching, Idle])
def test_parameters_without_a_gradient_are_left_alone(model: Callable[[], nn.Module], how: str, optimizer: str) -> None:
    recipes = [recipe_of(optimizer, rate, l1_step="proximal", clip=1.0) for rate in (0.1, 0.05)]
    run = engine(model, plan(how), recipes[0])
    assert losses_of(run, recipes) == pytest.approx(alone(model, recipes), rel=1e-9)
    (chosen,) = run.plans.values()
    assert (chosen.packed, chosen.real) == (how == "packed" and model is Idle, False)
    run.close()


class Encoding(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + F.one_hot(x.argmax(1) % 4, 4)


@pytest.mark.parametrize(
    "more",
    [{"average_from": 0.5}, {"accumulate": 2, "clip": 0.5}, {"early_stopping": "1ep"}, {"norm_momentum": 0.3}],
    ids=str,
)
def test_what_a_recipe_asks_for_holds_in_a_real_module(more: dict[str, Any]) -> None:
    recipes = [recipe_of("adam", rate, **more) for rate in (0.1, 0.05)]
    run = engine(Closures, None, recipes[0])
    assert losses_of(run, recipes) == pytest.approx(alone(Closures, recipes), rel=1e-9)
    run.close()


def test_the_points_of_schedule_free_optimizers_hold_in_a_real_module() -> None:
    recipes = [replace(recipe_of(), optimizer=ScheduleFreeSGD(lr=rate), decay=0.0) for rate in (0.5, 0.2)]
    run = engine(Branching, None, recipes[0])
    assert losses_of(run, recipes) == pytest.approx(alone(Branching, recipes), rel=1e-9)
    run.close()


@pytest.mark.parametrize("model", [Counting, Averaging, HookCounting, OwnGenerator, Closures])
def test_a_lane_in_a_real_module_resumes_bit_for_bit(model: Callable[[], nn.Module]) -> None:
    recipes = [recipe_of(rate=0.1), recipe_of(rate=0.05)]
    runs = [engine(model, None, recipes[0])]
    whole = Cohort(runs[0], recipes, [0, 1])
    whole.advance(0.5)
    tensors, data = state_of(whole)
    whole.advance(1.0)
    runs.append(engine(model, next(iter(runs[0].plans.values())), recipes[0]))
    resumed = Cohort(runs[1], recipes, [0, 1])
    restore(resumed, tensors, data)
    resumed.advance(1.0)
    assert all_bits(resumed) == all_bits(whole)
    for run in runs:
        run.close()


class Latest(Pair):
    """Uses the layers of whichever model was made last."""

    latest: "Latest"

    def __init__(self) -> None:
        super().__init__()
        type(self).latest = self

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.latest.last(torch.tanh(self.latest.first(x)))
        return found


class Unsteady(Pair):
    """Changes what nobody can find."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * UNSEEN.random()


UNSEEN = random.SystemRandom()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Latest, r"^model: its forward pass uses first\.bias, .* of another model that the same function made"),
        (Unsteady, r"^model: two passes over the same rows, .* give different results"),
    ],
)
def test_what_lanes_cannot_hold_is_refused(model: Callable[[], nn.Module], says: str) -> None:
    run = engine(model, None, recipe_of())
    with pytest.raises(InputError, match=says):
        Cohort(run, [recipe_of()], [0])
    run.close()


class Showing(Pair):
    """Writes down what nobody reads, and what is the same for all."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: Tensor | None = None
        self.places: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.places is None:
            self.places = torch.arange(9).to(x)
        self.shown = torch.tanh(self.first(x) + 0.01 * self.places)
        found: Tensor = self.last(self.shown)
        return found


class SparseTable(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 4, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.table(x.argmax(1))


@pytest.mark.parametrize("model", [Showing, SparseTable, Encoding])
def test_what_does_no_harm_is_packed(model: Callable[[], nn.Module]) -> None:
    recipes = [recipe_of(rate=0.1), recipe_of(rate=0.05)]
    run = engine(model, plan("packed"), recipes[0])
    assert losses_of(run, recipes) == pytest.approx(alone(model, recipes), rel=1e-9)
    (chosen,) = run.plans.values()
    assert chosen == plan("packed")
    run.close()


class Stretching(Pair):
    """Drops out once or three times, by the rows that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        self.dropped = [hidden := self.drop(hidden) for _ in range(1 + 2 * int(x[0, 0] > 0))]
        found: Tensor = self.last(hidden)
        return found


def test_a_dropout_layer_that_is_called_more_often_than_at_first_still_drops_out() -> None:
    x = rows("mlp")[0][:16].double()
    few, often = (torch.where(torch.arange(12) == 0, sign, x) for sign in (-1.0, 1.0))
    lane_layer = with_lane_layers(Stretching().double(), recipe_of())
    shapes = draw_shapes(lane_layer, lambda tried: tried(few), torch.float64, torch.device("cpu"))
    lane_layer.drop.lane_uniform0 = torch.rand(shapes["drop.lane_uniform0"], dtype=torch.float64)
    passes = []
    for _ in range(2):
        start_calls(lane_layer)
        passes.append(lane_layer.train()(often))
        zeros = [float((dropped == 0).double().mean()) for dropped in lane_layer.dropped]
        assert zeros == sorted(zeros)
        assert len(zeros) == 3
        assert zeros[0] < zeros[1] < zeros[2]
    assert torch.equal(*passes)


def test_what_no_optimizer_is_given_is_told() -> None:
    notes: list[str] = []
    run = engine(Unregistered, None, recipe_of(), notes)
    Cohort(run, [recipe_of()], [0])
    assert sum("never trained, by lanes or by any optimizer" in note for note in notes) == 1
    run.close()
