"""One recipe trained alone, natively: `torch.optim`, `nn.BatchNorm`, `nn.Dropout` and a plain loop.

The batches, the initial weights and the numbers at every step are those of the recipe's lane, so the two
implementations check each other. Dropout masks come from torch's own generator.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lanewise.bridges.torch_penalties import Penalty
from lanewise.bridges.torch_recipe import native_optimizer, set_numbers
from lanewise.bridges.torch_rules import RuleOptimizer
from lanewise.data import Split, hold_out
from lanewise.errors import InputError
from lanewise.lanes.adapt import adapted
from lanewise.lanes.cohort import evaluation_points
from lanewise.lanes.engine import TEST_SEED, usable_device
from lanewise.lanes.feed import Feed, Repeat
from lanewise.lanes.feedback import Plateaus
from lanewise.lanes.numbers import tabulate_recipe
from lanewise.lanes.step import LaneStep
from lanewise.lanes.streams import stream_seed
from lanewise.models import seeded
from lanewise.parts.mixup import mix, mixed_loss, mixing_weight
from lanewise.parts.roles import penalised
from lanewise.recipe import Recipe
from lanewise.task import Task

EVALUATED_ROWS = 1024


@dataclass(frozen=True)
class Trained:
    """A model trained alone.

    Attributes:
        model: in evaluation mode. validation, test: (loss, metric); validation is None where all rows trained.
        zeros: weights that are exactly zero, and how many there are.
    """

    model: nn.Module
    validation: tuple[float, float] | None
    test: tuple[float, float]
    zeros: tuple[int, int]


def train(
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    repeat: int = 0,
    all_rows: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    show: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Trained:
    """Train `recipe` on `task` as the lane of repeat `repeat` of the study `seed` would be.

    Args:
        all_rows: train on the validation rows too; nothing is left to validate on.
        show: told (steps done, steps in all, training loss) at the end of every epoch.

    Raises:
        InputError: a space instead of a recipe, a batch larger than the data, a number out of range.
    """
    if recipe.is_space:
        raise InputError("recipe: has ranges in it, so it is a space; find its best recipe with: lanewise race --space")
    task.check_model()
    where = usable_device(device)
    rows = Repeat.draw(hold_out(task.source, TEST_SEED), seed, repeat)
    if all_rows:
        everything = torch.arange(len(rows.held.pool_y))
        rows = replace(rows, split=Split(everything, everything[:0]), scale=rows.scale.fit(rows.held.pool_x))
    count = len(rows.split.train)
    batch_size = count if recipe.rule.whole_set else recipe.batch_size
    feed = Feed(rows, batch_size, {}, dtype, where)
    steps = recipe.epochs * feed.steps_per_epoch
    table = tabulate_recipe(recipe, steps, feed.steps_per_epoch, count)
    names = (*recipe.numbers(), "t")
    initial, example = task.new_model(rows.weight_seed, dtype), feed.chunk(0, 1).x[0]
    # Whatever a lane of this recipe would be refused for, with the name of the layer.
    LaneStep(initial, recipe, task.objective, example)
    model = adapted(initial, recipe, example[:2].cpu()).to(where).train()
    optimizer = native_optimizer(recipe.rule, model)
    chosen = sorted(penalised(model, recipe.penalised))
    penalty = Penalty(model, l1_step=recipe.l1_step, decay_by=recipe.decay_by, select=chosen or None)
    penalty.attach(optimizer)
    score = evaluator(model, task, rows, feed)
    held, valid = rows.held, rows.split.valid
    plateaus = Plateaus.of(recipe, steps, feed.steps_per_epoch)
    if plateaus.listening and not len(valid):
        raise InputError("all_rows: a plateau needs validation rows to watch, and all rows are to train")
    measured = {round(progress * steps) for progress in evaluation_points(recipe.epochs)}
    with seeded(stream_seed(seed, repeat, "masks")):
        for start, stop in feed.spans(0, steps):
            chunk = feed.chunk(start, stop)
            for at in range(stop - start):
                numbers = dict(zip(names, table[start + at].tolist(), strict=True))
                set_numbers(model, optimizer, penalty, numbers)
                optimizer.zero_grad()
                loss = training_loss(model, task, chunk.x[at], chunk.y[at], numbers)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if plateaus.listening and start + at + 1 in measured:
                    with evaluated_weights(optimizer):
                        heard = score(held.pool_x[valid], held.pool_y[valid])
                    table = plateaus.observe(start + at + 1, *heard, table)
            if stop % feed.steps_per_epoch == 0:
                show(stop, steps, float(loss.detach()))
    if isinstance(optimizer, RuleOptimizer):
        optimizer.eval()
    model.eval()
    zeros = penalty.zeros()
    validation = score(held.pool_x[valid], held.pool_y[valid]) if len(valid) else None
    return Trained(model, validation, score(held.test_x, held.test_y), (zeros.zeros, zeros.total))


@contextlib.contextmanager
def evaluated_weights(optimizer: Optimizer) -> Iterator[None]:
    """For a while the model holds the weights to evaluate: schedule-free rules train others."""
    if isinstance(optimizer, RuleOptimizer):
        optimizer.eval()
    yield
    if isinstance(optimizer, RuleOptimizer):
        optimizer.train()


def training_loss(model: nn.Module, task: Task, x: Tensor, y: Tensor, numbers: dict[str, float]) -> Tensor:
    """The loss of one batch, with mixup and label smoothing if the recipe has them."""

    def plain(outputs: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = task.objective.loss(outputs, targets, numbers["label_smoothing"])
        return loss

    if "mixup" not in numbers:
        return plain(model(x), y)
    partners, uniform = torch.randperm(len(x)), torch.rand(2, dtype=x.dtype)
    weight = mixing_weight(numbers["mixup"], *uniform.unbind()).to(x.device)
    return mixed_loss(plain, model(mix(x, partners.to(x.device), weight)), y, partners.to(x.device), weight)


def evaluator(
    model: nn.Module, task: Task, repeat: Repeat, feed: Feed
) -> Callable[[Tensor, Tensor], tuple[float, float]]:
    """A function of rows that gives (mean loss, mean metric) of `model` on them."""

    def score(x: Tensor, y: Tensor) -> tuple[float, float]:
        found: list[Any] = []
        was_training = model.training
        model.eval()
        for first in range(0, len(x), EVALUATED_ROWS):
            part = repeat.scale.apply(x[first : first + EVALUATED_ROWS], feed.dtype).to(feed.device)
            with torch.no_grad():
                scores = task.objective.row_scores(model(part), y[first : first + EVALUATED_ROWS].to(feed.device))
            found.append([score.double().cpu().numpy() for score in scores])
        model.train(was_training)
        losses, metrics = (np.concatenate(column) for column in zip(*found, strict=True))
        return float(losses.mean()), float(metrics.mean())

    return score
