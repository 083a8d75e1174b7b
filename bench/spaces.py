"""What the default space is worth: `auto` against `classic` and against the portfolio alone, at an equal budget.

Each contender may spend the same epochs of all lanes together (`LENGTHS` times those of a run). `auto` races its
portfolio beside what it draws, `classic` none; the portfolio alone trains its four recipes in equally many runs and
takes the best. The recipes that win are then trained in new training runs and compared in pairs: where there is plenty
of data on parts of it that no race has seen; else on new splits of the same data, where intervals allow for
the overlap of the training sets (Nadeau and Bengio, 2003). Differences are pooled over the races' seeds.
"""

import argparse
import math
import pydoc_data.topics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import Tensor, nn

import lanewise as lw
from bench.rounds import machine, revision

LENGTHS = 48
"""Runs to the end that each contender may spend."""
RUNS = 10
"""New training runs of each winner."""
CONTENDERS = ("auto", "classic", "portfolio")
FASHION_ROWS = 3_000
WINDOW, WINDOWS, APART = 24, 1_000, 25
"""Characters of a row, rows, and characters from the start of one row to that of the next."""
FIRST_SEED_OF_RUNS = 10_000
PARTS = 8
"""Parts of the data that no race has seen."""


@dataclass(frozen=True)
class Ground:
    """A task, and how long its runs are; `part` gives the task on the part 1, 2, ... of data that no race has seen."""

    name: str
    task: Callable[[], lw.Task]
    epochs: int
    part: Callable[[int], lw.Task] | None = None


def fashion(folder: Path, part: int = 0) -> lw.Task:
    """The convolutional network on some rows of Fashion-MNIST in `folder`."""
    source = lw.load(str(folder))
    x, y = source.rows.take(torch.arange(FASHION_ROWS) + part * FASHION_ROWS)
    return lw.Task("cnn:8,16", (x, y))


def text(part: int = 0) -> lw.Task:
    """The next character of Python's own manual, by one layer of causal attention."""
    manual = "".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)).lower()
    known = sorted(set(manual))
    first = part * APART * WINDOWS
    codes = torch.tensor([known.index(letter) for letter in manual[first : first + APART * WINDOWS]])
    starts = torch.arange(WINDOWS) * APART
    windows = torch.stack([codes[start : start + WINDOW + 1] for start in starts.tolist()])
    return lw.Task(lambda: Reader(len(known)), (windows[:, :-1].int(), windows[:, 1:]))


class Reader(nn.Module):
    """Embeddings, a block of causal attention, a block of two layers, and the scores of the next character."""

    def __init__(self, letters: int, width: int = 32) -> None:
        super().__init__()
        self.letters = nn.Embedding(letters, width)
        self.places = nn.Parameter(0.02 * torch.randn(WINDOW, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.keys = nn.Linear(width, 3 * width)
        self.drop = nn.Dropout(0.1)
        self.block = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.head = nn.Linear(width, letters)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores [rows, places, letters]."""
        x = self.letters(tokens) + self.places
        q, k, v = self.keys(self.first(x)).chunk(3, -1)
        later = torch.ones(WINDOW, WINDOW, dtype=torch.bool).triu(1)
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(later, -1e9).softmax(-1)
        x = x + self.drop(weights @ v)
        return self.head(x + self.drop(self.block(self.second(x))))


def of_sklearn(load: Callable[..., Any], **given: Any) -> Callable[[], lw.Task]:
    """The perceptron on a table of scikit-learn."""

    def task() -> lw.Task:
        x, y = load(return_X_y=True)
        return lw.Task("mlp:64", (x.astype(np.float32), y if y.dtype.kind == "i" else y.astype(np.float32)), **given)

    return task


def grounds(folder: Path | None) -> list[Ground]:
    """All tasks; Fashion-MNIST only with its `folder`."""
    found = [
        Ground("digits mlp", lambda: lw.Task("mlp", "digits"), 10),
        Ground("digits cnn", lambda: lw.Task("cnn:8,16", "digits"), 6),
        Ground("breast cancer", of_sklearn(load_breast_cancer, metric="log loss"), 20),
        Ground("wine", of_sklearn(load_wine, metric="log loss"), 20),
        Ground("diabetes", of_sklearn(load_diabetes), 20),
        Ground("text", text, 10, text),
    ]
    if folder is not None:
        found.append(Ground("Fashion-MNIST cnn", lambda: fashion(folder), 6, partial(fashion, folder)))
    return found


def main(arguments: Sequence[str] = ()) -> None:
    """Race all contenders on all tasks and print how their winners do."""
    parser = argparse.ArgumentParser(prog="python -m bench spaces", description=__doc__)
    parser.add_argument("--fashion", type=Path, help="folder with Fashion-MNIST's IDX files; left out without it")
    parser.add_argument("--seeds", type=int, default=2, help="races of each contender on each task")
    parser.add_argument("--task", action="append", help="one of the tasks only; may be given several times")
    given = parser.parse_args(list(arguments))
    print(f"Spaces\n{machine()}; {revision()}; {given.seeds} races each, {LENGTHS} lengths, {RUNS} new training runs")
    for ground in grounds(given.fashion):
        if given.task is None or ground.name in given.task:
            report(ground, given.seeds)


def report(ground: Ground, seeds: int) -> None:
    """Race the contenders on one task and print their scores and differences."""
    task, scores = ground.task(), dict[str, list[np.ndarray]]()
    winners, seconds = dict[str, list[str]](), dict[str, float]()
    for seed in range(seeds):
        found: dict[str, lw.Recipe] = {}
        for name in CONTENDERS:
            begun = time.process_time()
            found[name] = winner(name, task, ground.epochs, seed)
            seconds[name] = seconds.get(name, 0.0) + time.process_time() - begun
            optimizer = found[name].optimizer
            winners.setdefault(name, []).append(optimizer.name)
        if ground.part is None:
            overlap = new_runs(task, found, FIRST_SEED_OF_RUNS + seed, RUNS, scores)
            continue
        parts = dict[str, list[np.ndarray]]()
        for part in range(1, PARTS + 1):
            new_runs(ground.part(part), found, FIRST_SEED_OF_RUNS + part, 2, parts)
        for name, runs in parts.items():
            scores.setdefault(name, []).append(np.array([one.mean() for one in runs]))
    if ground.part is not None:
        # Races share the parts, so a part counts once.
        scores, overlap = {name: [np.mean(runs, axis=0)] for name, runs in scores.items()}, 0.0
    greater = task.objective.metric.greater_is_better
    print(f"\n{ground.name}: {task.objective.metric.name}, {'more' if greater else 'less'} is better")
    for name in CONTENDERS:
        every = np.concatenate(scores[name])
        print(f"  {name:10} {every.mean():.4f}  ({', '.join(winners[name])}; {seconds[name]:.0f} s of processor time)")
    for other in CONTENDERS[1:]:
        lead = np.concatenate(scores["auto"]) - np.concatenate(scores[other])
        lead = lead if greater else -lead
        low, high = interval(lead, overlap)
        word = "ahead" if low > 0 else "behind" if high < 0 else "too close to call"
        print(
            f"  auto's lead over {other:10} {lead.mean():+.4f} (95% CI {low:+.4f} to {high:+.4f}): {word}", flush=True
        )


def winner(name: str, task: lw.Task, epochs: int, seed: int) -> lw.Recipe:
    """The recipe that the contender `name` settles on."""
    if name == "portfolio":
        recipes = lw.portfolio(task, lw.auto(task, epochs=epochs))
        runs = LENGTHS // len(recipes)
        return lw.compare(task, recipes, repeats=runs, seed=seed, threads=1, progress=False).answer.best
    race = lw.race(
        task, name, epochs=epochs, budget=f"{LENGTHS * epochs}ep", repeats=2, confirm=4, seed=seed, threads=1,
        progress=False,
    )  # fmt: skip
    return race.winner


def new_runs(
    task: lw.Task, found: dict[str, lw.Recipe], seed: int, runs: int, scores: dict[str, list[np.ndarray]]
) -> float:
    """Add the scores of the recipes `found` in new training runs; returns validation rows divided by training rows."""
    different = {str(recipe): recipe for recipe in found.values()}
    named = {f"recipe {at}": recipe for at, recipe in enumerate(different.values())}
    if len(named) == 1:
        raise SystemExit("all contenders settled on the same recipe")
    answer = lw.compare(task, named, repeats=runs, seed=seed, threads=1, progress=False).answer
    known = {str(one.scored.recipe): one.scored.scores for one in answer.compared}  # type: ignore[attr-defined]
    for name, recipe in found.items():
        scores.setdefault(name, []).append(known[str(recipe)])
    train, valid = answer.ground.rows
    return valid / train


def interval(lead: np.ndarray, overlap: float) -> tuple[float, float]:
    """The 95% interval of the mean of paired differences [runs], their training sets overlapping as in one split."""
    runs = len(lead)
    half = student.ppf(0.975, runs - 1) * math.sqrt(lead.var(ddof=1) * (1 / runs + overlap))
    return float(lead.mean() - half), float(lead.mean() + half)
