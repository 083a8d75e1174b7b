"""Recorded races: what 64 candidates look like at every rung by every score, and what they are worth in the end.

Everything is trained once, one repeat at a time, and kept in an .npz, which is gone on with where it ends.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import lanewise as lw
from lanewise.base.files import write_whole
from lanewise.data import load
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.pack import Block, Pack
from lanewise.lanes.step.numbers import tabulate_recipe
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import Group, Scores
from lanewise.parts.norm import reestimate
from lanewise.recipe.file import dump
from lanewise.recipe.spaces import classic
from lanewise.sampling.sampler import Sampler

CANDIDATES, RACE_REPEATS, TRUE_REPEATS = 64, 3, 10
RUNGS = 16
"""Rungs are at k / RUNGS of the run, k from 1 to RUNGS - 1; the end is beside them."""
FEW = (1, 2, 4, 8, 12)
"""The rungs at which the dearer scores are taken."""
COOL = 0.03
"""The cool-down taken at every rung, as a share of the run."""
OTHER_COOLS = (0.01, 0.02, 0.05, 0.1)
AGES = (0.02, 0.05)
"""Mean ages of the exponential averages, as shares of the run."""
PIECES = 10
"""Averages take in the weights so many times from rung to rung."""
FASHION_ROWS = 10_000


@dataclass(frozen=True)
class Course:
    """What is trained: a task for so many epochs, the candidates drawn from `classic` with `seed`."""

    name: str
    task: lw.Task
    epochs: int
    candidates: int = CANDIDATES
    race_repeats: int = RACE_REPEATS
    true_repeats: int = TRUE_REPEATS
    seed: int = 0

    def recipes(self) -> list[lw.Recipe]:
        """The candidates: plain random draws, since the sampler is told nothing."""
        sampler = Sampler(replace(classic(), epochs=self.epochs), self.seed, None)
        drawn: list[lw.Recipe] = []
        while len(drawn) < self.candidates:
            # No more at a time than the sampler draws at random.
            drawn += sampler.ask(min(16, self.candidates - len(drawn)), len(drawn))
        return drawn


def digits() -> Course:
    """The perceptron on digits."""
    return Course("digits", lw.Task("mlp", "digits"), 20)


def fashion(folder: Path) -> Course:
    """The perceptron on the first 10,000 training rows of Fashion-MNIST, whose IDX files are in `folder`."""
    source = load(str(folder))
    data = (source.x[:FASHION_ROWS], source.y[:FASHION_ROWS], source.x_test, source.y_test)
    return Course("fashion", lw.Task("mlp", data), 10)


class Recording:
    """Arrays by name in the file `path`, each with the repeats on its last axis and NaN where nothing is recorded."""

    def __init__(self, path: Path, course: Course) -> None:
        self.path, self.arrays = path, {}
        if path.exists():
            with np.load(path) as found:
                self.arrays = dict(found)

    def has(self, name: str, repeat: int) -> bool:
        return name in self.arrays and bool(np.isfinite(self.arrays[name][..., repeat]).any())

    def put(self, found: dict[str, np.ndarray], repeat: int, repeats: int) -> None:
        """Add `found`, of one of so many repeats."""
        for name, values in found.items():
            whole = self.arrays.setdefault(name, np.full((*values.shape, repeats), np.nan))
            whole[..., repeat] = values

    def save(self) -> None:
        content = io.BytesIO()
        np.savez(content, **self.arrays)
        write_whole(self.path, content.getvalue())


def record(
    course: Course, path: Path, threads: int | None, note: Callable[[str], None] = print
) -> dict[str, np.ndarray]:
    """All arrays of `course`, read from `path` as far as they are there, and trained and written there if not."""
    engine = Engine(course.task, course.seed, threads=threads, note=note)
    recipes, recording = course.recipes(), Recording(path, course)
    steps = course.epochs * engine.feed(recipes[0], 0).steps_per_epoch
    points = np.linspace(0, steps - 1, 10 * RUNGS + 1).astype(int)
    recording.arrays |= {
        "progress": np.arange(1, RUNGS) / RUNGS,
        "rate": np.stack([tabulate_recipe(recipe, steps, steps // course.epochs, 1)[points, 0] for recipe in recipes]),
        "recipes": np.array([dump(recipe) for recipe in recipes]),
    }
    try:
        for repeat in range(course.race_repeats):
            if not recording.has("end_loss", repeat):
                recording.put(race(engine, recipes, repeat), repeat, course.race_repeats)
                recording.save()
                note(f"{course.name}: race repeat {repeat} recorded, {engine.costs.train:.0f} s of training so far")
        for place in range(course.true_repeats):
            if not recording.has("truth_loss", place):
                recording.put(truth(engine, recipes, course.race_repeats + place), place, course.true_repeats)
                recording.save()
                note(f"{course.name}: true repeat {place} recorded, {engine.costs.train:.0f} s of training so far")
    finally:
        engine.close()
    return recording.arrays


def truth(engine: Engine, recipes: Sequence[lw.Recipe], repeat: int) -> dict[str, np.ndarray]:
    """What every candidate is worth at the end in one repeat."""
    cohort = Cohort(engine, recipes, [repeat])
    cohort.advance(1.0)
    return named("truth", cohort.evaluate())


def named(name: str, scores: Scores) -> dict[str, np.ndarray]:
    """Loss and error of each candidate in the one repeat of `scores`."""
    return {f"{name}_loss": scores.loss[:, 0], f"{name}_error": 1 - scores.metric[:, 0]}


def race(engine: Engine, recipes: Sequence[lw.Recipe], repeat: int) -> dict[str, np.ndarray]:
    """Every score of every candidate at every rung in one repeat: [rung, candidate], and the ends [candidate]."""
    cohort = Cohort(engine, recipes, [repeat], runs_to_come=RACE_REPEATS + TRUE_REPEATS)
    averages = [Average(age * RUNGS * PIECES) for age in AGES]
    tail = Average(None)
    rungs: list[dict[str, np.ndarray]] = []
    for rung in range(1, RUNGS + 1):
        tail.clear()
        for piece in range(1, PIECES + 1):
            cohort.advance((rung - 1 + piece / PIECES) / RUNGS)
            for average in (*averages, tail):
                average.take_in(cohort)
        found = named("raw", cohort.evaluate())
        if rung == RUNGS:
            break
        found |= named("cool", cohort.cool_down(COOL))
        dear = {f"cool{share:.0%}".rstrip("%"): share for share in OTHER_COOLS}
        for name, share in dear.items():
            found |= named(name, cohort.cool_down(share) if rung in FEW else empty(recipes))
        means = {f"ema{age:.0%}".rstrip("%"): average for age, average in zip(AGES, averages, strict=True)}
        for name, average in {"fresh": None, "tail": tail, **means}.items():
            found |= named(name, reestimated(cohort, average) if rung in FEW else empty(recipes))
        rungs.append(found)
    ends = {name.replace("raw", "end"): values for name, values in found.items()}
    return {name: np.stack([rung[name] for rung in rungs]) for name in rungs[0]} | ends


def empty(recipes: Sequence[lw.Recipe]) -> Scores:
    return Scores(*np.full((2, len(recipes), 1), np.nan))


class Average:
    """Averaged weights of all lanes: over the last `age` times they were taken in on average, or evenly if None."""

    def __init__(self, age: float | None) -> None:
        self.keep = 1.0 if age is None else age / (age + 1)
        self.clear()

    def clear(self) -> None:
        self.sums: dict[Block, dict[str, Tensor]] = {}
        self.weight = 0.0

    def take_in(self, cohort: Cohort) -> None:
        self.weight = self.keep * self.weight + 1
        for group, _, block in blocks(cohort):
            now = floating(weights(group, block))
            sums = self.sums.setdefault(block, {name: torch.zeros_like(value) for name, value in now.items()})
            for name, value in now.items():
                sums[name].mul_(self.keep).add_(value)

    def of(self, block: Block) -> dict[str, Tensor]:
        return {name: value / self.weight for name, value in self.sums[block].items()}


def blocks(cohort: Cohort) -> Iterator[tuple[Group, Pack, Block]]:
    return ((group, pack, block) for group in cohort.groups for pack in group.packs for block in pack.blocks)


def weights(group: Group, block: Block) -> dict[str, Tensor]:
    """The weights and buffers of a block's lanes, [lanes, ...] each."""
    return group.prepared.step.weights(block.state, block.table[0])


def floating(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def reestimated(cohort: Cohort, average: Average | None) -> Scores:
    """The scores of averaged weights, or of the last ones, with batch norm re-estimated on all training rows."""
    engine, repeat = cohort.engine, cohort.engine.repeat(cohort.repeats[0])
    train, _ = repeat.rows(repeat.split.train, engine.dtype, engine.device)
    x, y = repeat.rows(repeat.split.valid, engine.dtype, engine.device)
    model = engine.new_model(cohort.repeats[0]).eval()
    scores = empty(cohort.recipes)
    with torch.no_grad():
        for group, _, block in blocks(cohort):
            given = floating(weights(group, block)) if average is None else average.of(block)
            for lane, candidate in enumerate(block.candidates):
                own = {name: tensor[lane] for name, tensor in given.items()}
                if not all(bool(tensor.isfinite().all()) for tensor in own.values()):
                    continue
                model.load_state_dict(own, strict=False)
                reestimate(model, train.split(512))
                outputs = model(x)
                scores.loss[candidate, 0] = F.cross_entropy(outputs, y)
                scores.metric[candidate, 0] = (outputs.argmax(1) == y).double().mean()
    return scores
