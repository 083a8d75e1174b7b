"""What the tests of the lane engine train: small data, recipes that differ in every number, engines of given plans."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.pack import Block, Pack
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import Group, Scores
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.schedules import Constant, Cosine, Exponential, Linear, Polynomial, Staircase
from lanewise.recipe.recipe import Recipe
from lanewise.task.objectives import Classification
from lanewise.task.task import Task

HOW = ("packed", "compiled", "looped")
CLASSES = 4
STEPS = 204
"""Steps of a whole run: the 99 training rows give 6 batches of 16 an epoch, with 3 rows left over, or 12 of 8."""
SIZES = {"mlp": {"batch_size": 16, "epochs": 34}, "cnn": {"batch_size": 8, "epochs": 17}}
MODELS = {"mlp": "mlp:13", "cnn": "cnn:4"}
"""Small, and 13 is no multiple of a vector register, so that the ends of loops are met too.

Channels go in fours: a first convolution is one product for the channels of all lanes, and in float64 MKL rounds those
that are left over when it takes them four at a time otherwise than the rest."""

# A rate at which SGD with momentum is stable, then numbers that differ in every lane.
LANES: tuple[dict[str, Any], ...] = (
    {"lr": 0.3 * Cosine(warmup="5%"), "l2": 1e-3, "l1": 1e-4, "decay": 1e-2, "dropout": 0.2, "norm_momentum": 0.1,
     "label_smoothing": 0.1},
    {"lr": 0.1 * Linear(to=0.1), "l2": 0.0, "l1": 1e-2 * Linear(), "decay": 0.0, "dropout": 0.5 * Polynomial(power=2.0),
     "norm_momentum": 1.0, "label_smoothing": 0.0},
    {"lr": 0.05 * Staircase(beta=0.5, period="3ep"), "l2": 3e-2 * Cosine(), "l1": 0.0, "decay": 2e-2 * Linear(),
     "dropout": 0.7, "norm_momentum": 0.3 * Linear(to=0.1), "label_smoothing": 0.2 * Linear()},
    {"lr": 0.2 * Exponential(to=0.01, warmup="2ep"), "l2": 5e-3, "l1": 2e-3, "decay": 1e-3, "dropout": 0.1 * Cosine(),
     "norm_momentum": 0.01, "label_smoothing": 0.3},
)  # fmt: skip
SGD_LANES: tuple[dict[str, Any], ...] = (
    {"momentum": 0.9},
    {"momentum": 0.5, "dampening": 0.3},
    {"momentum": 0.9 * Linear(to=0.5)},
    {"momentum": 0.8 * Constant(warmup="10%")},
)
ADAM_LANES: tuple[dict[str, Any], ...] = (
    {},
    {"beta1": 0.5, "beta2": 0.9},
    {"beta1": 0.95 * Linear(to=0.8), "eps": 1e-4},
    {"beta2": 0.99, "eps": 1e-6 * Constant(warmup="50%")},
)


@dataclass(frozen=True, eq=False)
class Case:
    """A model and an optimizer, with four recipes that share a structure and no number.

    Attributes:
        rate, penalty: what the rates, and the strengths of L1 and L2, of the table are multiplied by.
    """

    kind: str
    optimizer: str
    rate: float = 1.0
    penalty: float = 1.0
    nesterov: bool = False
    structure: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}-{self.optimizer}"

    def recipes(self, scale: float = 1.0) -> list[Recipe]:
        """One recipe a lane; rates `scale` times those of the table."""
        made = []
        for lane, sgd, adam in zip(LANES, SGD_LANES, ADAM_LANES, strict=True):
            rest = {name: value for name, value in lane.items() if name != "lr"}
            rest |= {name: self.penalty * lane[name] for name in ("l2", "l1")}
            rate = scale * self.rate * lane["lr"]
            # Nesterov's momentum allows no dampening.
            sgd = {"momentum": sgd["momentum"]} if self.nesterov else sgd
            optimizer = SGD(rate, nesterov=self.nesterov, **sgd) if self.optimizer == "sgd" else Adam(rate, **adam)
            made.append(Recipe(optimizer=optimizer, **rest, **SIZES[self.kind], **self.structure))
        return made


MLP_SGD = Case("mlp", "sgd")
MLP_ADAM = Case("mlp", "adam", 0.1, 10.0, structure={"l1_step": "proximal", "decay_by": "independent"})
CNN_SGD = Case("cnn", "sgd", 0.3, 600.0, nesterov=True, structure={"l1_step": "proximal", "penalty_per": "row"})
CNN_ADAM = Case("cnn", "adam", 0.1, structure={"decay_by": "independent"})
CASES = (MLP_SGD, MLP_ADAM, CNN_SGD, CNN_ADAM)


class Watched(Classification):
    """The objective, counting how often Python comes by: a compiled program meets it while it is captured only."""

    calls = 0

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: Tensor | float) -> Tensor:
        type(self).calls += 1
        return super().loss(outputs, targets, label_smoothing)


def rows(kind: str) -> tuple[Tensor, Tensor]:
    """165 rows around four centres, flat for `mlp` and images of 1 x 8 x 8 for `cnn`; 99 of them train, 33 validate."""
    generator = torch.Generator().manual_seed(11)
    shape = (12,) if kind == "mlp" else (1, 8, 8)
    y = torch.arange(165) % CLASSES
    centres = torch.randn(CLASSES, *shape, generator=generator)
    return centres[y] + torch.randn(165, *shape, generator=generator), y


def plan(how: str, width: int = 4, workers: int = 1) -> Plan:
    """The plan that runs lanes `packed`, `compiled` or `looped`; skips the test where nothing can be compiled."""
    if how == "compiled" and not any(map(shutil.which, ("g++", "c++", "clang++"))):
        pytest.skip("no C++ compiler")
    return Plan(how != "looped", how == "compiled", 1 if how == "looped" else width, workers, 1)


def engine_for(
    model: str | Callable[[], nn.Module], data: Any, recipe: Recipe, how: Plan, dtype: torch.dtype = torch.float32
) -> Engine:
    """An engine that runs lanes of the structure of `recipe` by the plan `how`."""
    task = Task(model, data)
    task.objective = Watched()
    return Engine(task, 7, threads=1, dtype=dtype, plans={str(recipe.structure()): how})


def trained(engine: Engine, recipes: Sequence[Recipe], progress: float = 1.0, repeats: Sequence[int] = (0,)) -> Cohort:
    """A cohort of `recipes` advanced to `progress`."""
    cohort = Cohort(engine, recipes, repeats)
    cohort.advance(progress)
    return cohort


def faster(recipe: Recipe, factor: float) -> Recipe:
    """`recipe` with `factor` times its rate."""
    return replace(recipe, optimizer=replace(recipe.optimizer, lr=factor * recipe.optimizer.lr))


@dataclass(frozen=True, eq=False)
class Lane:
    """Where a lane is found: its pack, its block, its place in the block."""

    pack: Pack
    block: Block
    at: int

    @property
    def state(self) -> list[Tensor]:
        return [leaf[self.at] for leaf in self.block.state]

    @property
    def losses(self) -> Tensor:
        """Training loss of every step since the last evaluation."""
        return torch.cat(self.block.losses)[:, self.at]


def group_of(cohort: Cohort, number: int = 0) -> Group:
    """The lanes of one structure: group `number` of a cohort, in the order of its recipes."""
    return cohort.groups[number]


def pack_of(cohort: Cohort, repeat: int = 0, group: int = 0) -> Pack:
    """The lanes of one structure in the repeat at position `repeat`."""
    return group_of(cohort, group).packs[repeat]


def lane_of(cohort: Cohort, candidate: int, repeat: int = 0) -> Lane:
    """The lane of one candidate in the repeat at position `repeat`."""
    packs = [pack_of(cohort, repeat, group) for group in range(len(cohort.groups))]
    places = ((pack, block) for pack in packs for block in pack.blocks)
    return next(Lane(p, b, b.candidates.index(candidate)) for p, b in places if candidate in b.candidates)


def bits_of(cohort: Cohort, candidate: int, repeat: int = 0) -> list[bytes]:
    """All that a lane is: every tensor of its state, to the last bit (NaN equals itself, 0 is not -0)."""
    return [leaf.contiguous().numpy().tobytes() for leaf in lane_of(cohort, candidate, repeat).state]


def all_bits(cohort: Cohort) -> list[list[bytes]]:
    """All that its live lanes are, repeat by repeat."""
    return [bits_of(cohort, candidate, at) for at in range(len(cohort.repeats)) for candidate in cohort.live]


def same_scores(mine: Scores, theirs: Scores) -> bool:
    """Whether two tables of scores agree in every bit and have no gap."""
    pairs = ((mine.loss, theirs.loss), (mine.metric, theirs.metric))
    return all(a.tobytes() == b.tobytes() and np.isfinite(a).all() for a, b in pairs)
