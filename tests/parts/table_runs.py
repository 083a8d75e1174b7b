"""The recipes of the table, trained: in packs, one after another, and each alone in plain PyTorch; each once only.

What has been trained is kept for the whole session, programs too: lanes of one structure are trained together,
whichever row they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.feed import Feed
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import Group
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from tests.parts.table import TABLE
from tests.parts.table_models import MODELS, plain_model, rows, start_from
from tests.parts.table_reference import PlainRun

SEED = 7
STOP = 40
"""A step in the middle of an epoch, and of the stretch for which batches are made at once."""
PLANS = {
    "packed": Plan(packed=True, compiled=False, width=64, workers=1, threads=1),
    "compiled": Plan(packed=True, compiled=True, width=4, workers=1, threads=1),
    "looped": Plan(packed=False, compiled=False, width=1, workers=1, threads=1),
}


@dataclass(frozen=True, eq=False)
class Lane:
    """What a recipe trained to: weights and buffers to evaluate by name, the loss of each step, scores of all rows.

    `state` is the lane's state in the engine; empty for a plain run.
    """

    weights: dict[str, Tensor]
    losses: Tensor
    scores: Tensor
    state: tuple[Tensor, ...] = ()


def structure(recipe: Recipe) -> str:
    return str(recipe.structure())


@cache
def everything(how: str, model: str) -> dict[str, list[Recipe]]:
    """All recipes of the table for `model` by structure; where lanes run one by one, the last of each row alone."""
    found: dict[str, list[Recipe]] = {}
    for row in TABLE:
        if row.model == model:
            for recipe in (row.lanes[-1],) if how == "looped" else (*row.lanes, row.without):
                alike = found.setdefault(structure(recipe), [])
                if recipe not in alike:
                    alike.append(recipe)
    return found


def new_engine(how: str, model: str, recipes: Sequence[Recipe]) -> Engine:
    """An engine that runs lanes of the structures of `recipes` in the way `how`, in float64."""
    plans = {structure(recipe): PLANS[how] for recipe in recipes}
    return Engine(Task(MODELS[model], rows(model)), SEED, threads=1, dtype=torch.float64, plans=plans)


@cache
def engine(how: str, model: str) -> Engine:
    """The engine of the session, which keeps the program of each structure."""
    return new_engine(how, model, [recipe for recipes in everything(how, model).values() for recipe in recipes])


@dataclass(frozen=True, eq=False)
class Together:
    """All lanes of one structure, trained to the end, and the state of their blocks after `STOP` steps."""

    lanes: dict[Recipe, Lane]
    stopped: list[list[Tensor]]


@cache
def together(how: str, model: str, of: str) -> Together:
    """The lanes of the structure `of`."""
    cohort = Cohort(engine(how, model), everything(how, model)[of], [0])
    (group,) = cohort.groups
    cohort.advance(STOP / group.total_steps)
    stopped = [block.state for block in group.packs[0].blocks]
    cohort.advance(1.0)
    return Together(dict(zip(cohort.recipes, lanes_of(cohort), strict=True)), stopped)


def lane(how: str, model: str, recipe: Recipe) -> Lane:
    """`recipe` trained as a lane in the way `how`."""
    return together(how, model, structure(recipe)).lanes[recipe]


def lanes_of(cohort: Cohort) -> list[Lane]:
    """The lanes of a cohort of one structure, in the order of its candidates."""
    (group,) = cohort.groups
    x, y = given_rows(group)
    found = []
    for block in group.packs[0].blocks:
        losses = torch.cat(block.losses) if block.losses else torch.empty(0, len(block.candidates))
        last = block.table[max(group.packs[0].step - 1, 0)]
        with torch.no_grad():
            leaves = group.packs[0].feed.evaluated_leaves((x, y), "eval", torch.arange(len(x)), test=False)
            scores, _ = group.prepared.evaluate(*block.state, last, *leaves)
        for at in range(len(block.candidates)):
            state = tuple(leaf[at] for leaf in block.state)
            found.append(Lane(group.prepared.step.weights(state, last[:, at]), losses[:, at], scores[at], state))
    return found


def given_rows(group: Group) -> tuple[Tensor, Tensor]:
    """All rows of the pool as the model is given them, and their labels."""
    repeat = group.packs[0].feed.repeat
    return repeat.scale.apply(repeat.holdout.pool.x, torch.float64), repeat.holdout.pool_y


class Alone:
    """A plain run of `recipe` on the batches and draws of its lane."""

    def __init__(self, model: str, recipe: Recipe) -> None:
        known = structure(recipe) in everything("packed", model)
        source = engine("packed", model) if known else new_engine("packed", model, [recipe])
        (group,) = Cohort(source, [recipe], [0]).groups
        self.feed: Feed = group.packs[0].feed
        self.steps = group.total_steps
        module = plain_model(model, recipe).double()
        start_from(module, source.new_model(0, **recipe.sizes))
        trained_on = len(self.feed.repeat.split.train)
        self.run = PlainRun(module, recipe, self.steps, self.feed.steps_per_epoch, trained_on)
        self.losses: list[float] = []

    def advance(self, stop: int) -> None:
        """Train up to step `stop`."""
        for first, end in self.feed.spans(len(self.losses), stop):
            chunk = self.feed.chunk(first, end)
            for at in range(end - first):
                draws = dict(zip(self.feed.draw_shapes, (draw[at] for draw in chunk.draws), strict=True))
                self.losses.append(self.run.step(self.run.values(first + at), chunk.x[at], chunk.y[at], draws))

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of every row in evaluation mode."""
        with torch.no_grad():
            return F.cross_entropy(self.run.model(x), y, reduction="none")


@cache
def alone(model: str, recipe: Recipe) -> Lane:
    """`recipe` trained to the end in plain PyTorch."""
    run = Alone(model, recipe)
    run.advance(run.steps)
    weights = run.run.final()
    repeat = run.feed.repeat
    scores = run.scores(repeat.scale.apply(repeat.holdout.pool.x, torch.float64), repeat.holdout.pool_y)
    return Lane(weights, torch.tensor(run.losses, dtype=torch.float64), scores)


def distance(mine: Lane, theirs: Lane) -> float:
    """The largest difference of any weight, buffer, training loss or row's score; infinite where names differ."""
    if mine.weights.keys() != theirs.weights.keys() or mine.losses.shape != theirs.losses.shape:
        return float("inf")
    pairs = [(value, theirs.weights[name]) for name, value in mine.weights.items()]
    pairs += [(mine.losses, theirs.losses), (mine.scores, theirs.scores)]
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def same_bits(mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether two lists of tensors agree in every bit: 0 is not -0, and NaN is equal to itself."""
    return len(mine) == len(theirs) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
        for a, b in zip(mine, theirs, strict=True)
    )
