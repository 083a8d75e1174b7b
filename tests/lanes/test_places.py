"""Equal lanes have equal bits at every place of a pack and in packs of any size, whatever functions a step computes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import lanewise as lw
from lanewise.lanes.compile.whole_vectors import BEYOND_TAGS, EXACT, WholeVectors, depends_on_place
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.pack import advance
from lanewise.lanes.step.batch import batch_leaves
from lanewise.lanes.step.program import train_program
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import OPTIMIZERS, Optimizer
from lanewise.recipe.recipe import Recipe
from tests.lanes.cases import plan
from tests.parts.table_optimizers import RULE_ROWS

SIZES = (2, 7, 8, 9, 15, 16, 17, 33)
"""Around the 4, 8 and 16 values that processors take at a time."""
EVERY_NUMBER = {
    "l2": 1e-3, "l1": 1e-3, "decay": 1e-2, "dropout": 0.3, "norm_momentum": 0.3, "label_smoothing": 0.1, "mixup": 0.4,
    "clip": 0.5, "ema": 0.7,
}  # fmt: skip
DTYPES = (torch.float32, torch.float64)


def rows() -> tuple[Tensor, Tensor]:
    """55 rows of 7 features in 3 classes, 33 of which train, in 3 batches of 11: no multiple of anything."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(55, 7, generator=generator), torch.arange(55) % 3


def perceptron(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(7, 9), nn.BatchNorm1d(9), activation, nn.Dropout(0.2), nn.Linear(9, 3))


def with_relu() -> nn.Module:
    return perceptron(nn.ReLU())


def recipe(optimizer: Optimizer) -> Recipe:
    if optimizer.whole_set:
        return Recipe(optimizer=optimizer, epochs=2, **{name: EVERY_NUMBER[name] for name in EVERY_NUMBER})
    return Recipe(optimizer=optimizer, batch_size=11, epochs=1, **EVERY_NUMBER)


@dataclass
class Trained:
    """Packs of equal lanes, all from the same state on the same batches."""

    model: Any
    of: Recipe
    dtype: torch.dtype = torch.float32
    how: str = "packed"
    width: int = 4

    def __post_init__(self) -> None:
        plans = {str(self.of.structure()): plan(self.how, self.width)}
        engine = Engine(lw.Task(self.model, rows()), 7, threads=1, dtype=self.dtype, plans=plans)
        (self.group,) = Cohort(engine, [self.of, self.of], [0]).groups
        self.feed = self.group.packs[0].feed
        (self.block,) = self.group.packs[0].blocks
        self.chunks = [(a, b, self.feed.chunk(a, b)) for a, b in self.feed.spans(0, self.group.total_steps)]

    def given(self, count: int) -> tuple[list[Tensor], Tensor]:
        """(state, numbers at every step) of `count` lanes before their first step."""
        state = [leaf[:1].expand(count, *leaf.shape[1:]).clone() for leaf in self.block.state]
        return state, self.block.table[:, :, :1].expand(-1, -1, count).contiguous()

    def lanes(self, count: int) -> list[Tensor]:
        """State, losses and scores of `count` lanes after the run, each [lanes, ...]."""
        state, numbers = self.given(count)
        losses = []
        for start, stop, chunk in self.chunks:
            state, found = advance(self.group.prepared.train, state, chunk, numbers[start:stop])
            losses += list(found)
        leaves = batch_leaves(*next(iter(self.feed.first_rows(13, 13, 1))))
        with torch.no_grad():
            scores = self.group.prepared.evaluate(*state, numbers[-1], *leaves)
        return [*state, torch.stack(losses, 1), *scores]

    def unequal(self, count: int) -> list[int]:
        """The places in a pack of `count` lanes whose bits are not those of the first."""
        leaves = self.lanes(count)
        assert all(leaf.isfinite().all() for leaf in leaves)
        return [at for at in range(count) if not all(torch.equal(leaf[at], leaf[0]) for leaf in leaves)]

    def differ(self, counts: Iterable[int]) -> dict[int, list[int]]:
        """For packs of each size the places whose bits are not those of the first lane of a pack of two."""
        first = [leaf[0] for leaf in self.lanes(2)]
        assert all(leaf.isfinite().all() for leaf in first)
        found = {}
        for count in counts:
            leaves = list(zip(self.lanes(count), first, strict=True))
            found[count] = [at for at in range(count) if not all(torch.equal(leaf[at], one) for leaf, one in leaves)]
        return {count: places for count, places in found.items() if places}


def optimizer_of(kind: type[Optimizer]) -> Optimizer:
    """An optimizer none of whose numbers is 0 or a power that is computed by products."""
    (row,) = (row for row in RULE_ROWS if row.name == kind.name)
    base = row.lanes[0].optimizer
    numbers = {name: value or 0.25 for name, value in base.numbers().items()}
    if "weight_lr_power" in numbers:
        numbers |= {"r": 0.3, "weight_lr_power": 1.7}
    return replace(base, **numbers)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.name)
def test_optimizers(kind: type[Optimizer], dtype: torch.dtype) -> None:
    assert Trained(with_relu, recipe(optimizer_of(kind)), dtype).differ(SIZES) == {}


class Gated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.glu(torch.cat([x, 0.5 * x], -1), -1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(7, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x.unsqueeze(1))[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(7, 15), nn.Linear(15, 3)
        self.layer = nn.TransformerEncoderLayer(5, 1, 9, 0.0, "gelu", batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x).unflatten(1, (3, 5))).flatten(1))


class Turned(nn.Module):
    """An activation of values that do not lie in memory as they are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(7, 15), nn.Linear(15, 3)

    def forward(self, x: Tensor) -> Tensor:
        turned = F.silu(self.embed(x).unflatten(1, (3, 5)).transpose(1, 2))
        return self.head(turned.transpose(1, 2).view(len(x), 15))


class Power(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * x + 0.1) ** 1.3


ACTIVATIONS: dict[str, Any] = {
    "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "gelu by tanh": lambda: nn.GELU("tanh"), "silu": nn.SiLU,
    "silu in place": lambda: nn.SiLU(inplace=True), "softplus": nn.Softplus, "elu": nn.ELU,
    "elu in place": lambda: nn.ELU(inplace=True), "selu": nn.SELU, "celu": nn.CELU, "mish": nn.Mish, "tanh": nn.Tanh,
    "log sigmoid": nn.LogSigmoid, "hardswish": nn.Hardswish, "softmax": lambda: nn.Softmax(1), "prelu": nn.PReLU,
    "glu": Gated, "power": Power,
}  # fmt: skip
MODELS: dict[str, Any] = {
    **{name: lambda make=make: perceptron(make()) for name, make in ACTIVATIONS.items()},
    "recurrent": Recurrent,
    "attention": Attention,
    "turned": Turned,
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    assert Trained(MODELS[name], recipe(lw.SGD(lr=0.1))).differ((7, 17)) == {}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(EXACT - {"detach", "clone", "fill", "fill_", "zero_"}))
def test_functions_that_are_taken_for_exact_are(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(5)
    a, b, c = (torch.rand(7 * 640, dtype=dtype, generator=generator) + 0.1 for _ in range(3))
    found = value_by_value(name)
    whole = found(a.clone(), b.clone(), c.clone())
    pieces = [found(*(part.clone() for part in parts)) for parts in zip(*(x.split(7) for x in (a, b, c)), strict=True)]
    assert torch.equal(torch.cat(pieces), whole)


def value_by_value(name: str) -> Any:
    """The function of torch called `name`, of as many of three tensors as it takes."""
    special: dict[str, Any] = {
        "clamp": lambda a, b, c: a.clamp(0.3, 0.7),
        "clamp_": lambda a, b, c: a.clamp_(0.3, 0.7),
        "clamp_max": lambda a, b, c: a.clamp(max=0.5),
        "clamp_min": lambda a, b, c: a.clamp(min=0.5),
        "lerp": lambda a, b, c: torch.lerp(a, b, 0.3),
        "lerp_": lambda a, b, c: a.lerp_(b, 0.3),
        "masked_fill": lambda a, b, c: a.masked_fill(b > c, 0.5),
        "masked_fill_": lambda a, b, c: a.masked_fill_(b > c, 0.5),
        "where": lambda a, b, c: torch.where(a > b, b, c),
        "floor_divide": lambda a, b, c: torch.div(a, b, rounding_mode="floor"),
        "rsub": lambda a, b, c: torch.rsub(a, b),
        "threshold": lambda a, b, c: F.threshold(a, 0.5, 0.2),
        "threshold_backward": lambda a, b, c: torch.ops.aten.threshold_backward(a, b, 0.5),
    }
    if name in special:
        return special[name]
    if name.startswith("bitwise"):
        whole = getattr(torch, name)
        return lambda a, b, c: whole(*((a * 100).int(), (b * 100).int())[: 1 if name.endswith("not") else 2])
    function = getattr(torch.ops.aten, name)
    # By getattr: `__getattr__` itself would make a second object of the operation, which Inductor would not know.
    overload = next(o for o in (getattr(function, of) for of in function.overloads()) if torch.Tag.pointwise in o.tags)
    taken = sum(str(one.type) == "Tensor" for one in overload._schema.arguments)
    return lambda a, b, c: function(*(a, b, c)[:taken])


class Seen(TorchDispatchMode):
    """Writes down the functions that depend on place, among those computed of `count` values."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.found: list[str] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would import its compiler, for seconds.
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.numel() == self.count and depends_on_place(function, args):
            self.found.append(str(function))
        return made


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.name)
def test_no_function_of_lane_numbers_depends_on_place(kind: type[Optimizer]) -> None:
    """It would be mended at run time, but each operation of such a step would cost more."""
    trained, lanes = Trained(with_relu, recipe(optimizer_of(kind))), 61
    state, numbers = trained.given(lanes)
    with Seen(lanes) as seen, torch.no_grad():
        train_program(trained.group.prepared.step, packed=True)(*state, numbers[0], *trained.chunks[0][2].step(0))
    assert seen.found == []


WITH_REMAINDERS: dict[str, Any] = {
    "gelu": F.gelu, "softplus": F.softplus, "silu in place": lambda x: F.silu(x, inplace=True), "elu": F.elu,
    "glu": F.glu, "glu of the first": lambda x: F.glu(x.movedim(-1, 0), 0),
}  # fmt: skip


@pytest.mark.parametrize("shape", [(3, 5), (64,), (8, 16), (1,)], ids=str)
@pytest.mark.parametrize("name", WITH_REMAINDERS)
def test_whole_vectors_change_no_more_than_last_bits(name: str, shape: tuple[int, ...]) -> None:
    function = WITH_REMAINDERS[name]
    x = torch.linspace(-2, 2, 2 * torch.Size(shape).numel(), dtype=torch.float64).reshape(2, *shape).movedim(0, -1)
    expected = function(x.clone())
    with WholeVectors() as mode:
        found = function(x.clone())
    assert torch.allclose(found, expected, rtol=1e-14, atol=1e-15)
    assert (found.shape, found.stride(), found.dtype) == (expected.shape, expected.stride(), expected.dtype)
    assert mode.mattered == (expected.numel() % 64 != 0)


def test_what_needs_no_care_runs_as_it_is() -> None:
    x = torch.ones(3, 5)
    with WholeVectors() as mode:
        torch.exp(x * x + torch.sqrt(x)).sum()
    assert not mode.mattered
    assert all(torch.Tag.pointwise not in one.tags for one in BEYOND_TAGS)
