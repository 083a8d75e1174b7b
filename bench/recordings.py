"""Whole races of small data sets, recorded without dropping anybody: the raw and the projected score at every rung.

`python -m bench recordings --out FOLDER [--only NAME ...] [--fashion FOLDER] [--threads 1]`

Writes FOLDER/NAME.npz with `progress` [rung], `raw` and `projected` [rung, candidate, repeat] and `end` [candidate,
repeat]: what a race ranks by (lower is better: the error, with the loss to tell ties), NaN where a lane diverged; and
the same of the loss as `raw_loss`, `projected_loss`, `end_loss`. What is there already is left as it is. Candidates
are random draws of `classic`. `python -m bench pruners --curves FOLDER/*.npz` replays races on them.
"""

import argparse
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import datasets

import lanewise as lw
from bench.rounds import machine, revision
from lanewise.base.files import write_whole
from lanewise.data import load
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.groups import Scores
from lanewise.recipe.spaces import classic
from lanewise.record.candidate import rung_scores
from lanewise.sampling.sampler import Sampler

CANDIDATES, REPEATS, EPOCHS = 128, 12, 16
"""A race of `python -m bench pruners` takes some of the repeats, and its pick is judged by the others."""
RUNGS = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4)


@dataclass(frozen=True)
class Recorded:
    """A data set to be recorded: its model, how many epochs, and a function that returns the data."""

    model: str
    epochs: int
    data: Callable[[], Any]
    objective: str | None = None


def bunch(name: str) -> Any:
    """(x, y) of a data set that comes with scikit-learn."""
    found = getattr(datasets, f"load_{name}")()
    return found.data.astype(np.float32), found.target.astype(np.float32 if name == "diabetes" else np.int64)


def clusters() -> Any:
    """Six classes in 20 dimensions, of which eight tell, with 8% of the labels wrong."""
    return datasets.make_classification(
        1500, 20, n_informative=8, n_redundant=2, n_classes=6, n_clusters_per_class=2, flip_y=0.08, random_state=0
    )


def moons() -> Any:
    """Two half moons with noise."""
    return datasets.make_moons(800, noise=0.3, random_state=0)


def friedman() -> Any:
    """Friedman's first regression with noise."""
    x, y = datasets.make_friedman1(1200, 10, noise=1.0, random_state=0)
    return x.astype(np.float32), y.astype(np.float32)


def signals() -> Any:
    """Ten templates of 40 points, shifted, scaled and blurred with noise, in the manner of MNIST-1D."""
    generator = np.random.default_rng(0)
    templates = np.cumsum(generator.normal(size=(10, 14)), axis=1)
    templates -= templates.mean(axis=1, keepdims=True)
    y = generator.integers(0, 10, 2500)
    x = np.zeros((2500, 40), np.float32)
    for row, label in enumerate(y):
        at = generator.integers(0, 40 - 14)
        x[row, at : at + 14] = generator.uniform(0.5, 1.5) * templates[label]
    x += 0.3 * np.cumsum(generator.normal(size=x.shape), axis=1) / np.sqrt(40) + 0.25 * generator.normal(size=x.shape)
    return x, y


def fashion(folder: str, rows: int) -> Any:
    """The first rows of Fashion-MNIST, whose IDX files are in `folder`."""
    source = load(folder)
    return source.x[:rows], source.y[:rows]


def courses(fashion_folder: str | None) -> dict[str, Recorded]:
    """What can be recorded, by name."""
    found = {
        "breast_cancer": Recorded("mlp:32", EPOCHS, partial(bunch, "breast_cancer")),
        "wine": Recorded("mlp:32", EPOCHS, partial(bunch, "wine")),
        "digits": Recorded("mlp:64", EPOCHS, partial(bunch, "digits")),
        "clusters": Recorded("mlp:64", EPOCHS, clusters),
        "moons": Recorded("mlp:32", EPOCHS, moons),
        "signals": Recorded("mlp:64", EPOCHS, signals),
        "diabetes": Recorded("mlp:32", EPOCHS, partial(bunch, "diabetes"), "regression"),
        "friedman": Recorded("mlp:64", EPOCHS, friedman, "regression"),
    }
    if fashion_folder:
        found["fashion_2000"] = Recorded("mlp:64", EPOCHS, partial(fashion, fashion_folder, 2000))
    return found


def record(name: str, what: Recorded, threads: int) -> dict[str, np.ndarray]:
    """Train every candidate to the end in every repeat."""
    task = lw.Task(what.model, what.data(), what.objective)
    fraction = task.objective.metric.fraction
    sampler = Sampler(replace(classic(), epochs=what.epochs), 0, None, "random")
    recipes = sampler.ask(CANDIDATES, 0)
    engine = Engine(task, 0, threads=threads, note=lambda line: print(f"{name}: {line}", flush=True))
    try:
        cohort = Cohort(engine, recipes, range(REPEATS), rungs=RUNGS)
        found: dict[str, list[np.ndarray]] = {}

        def put(kind: str, scores: Scores) -> None:
            found.setdefault(kind, []).append(rung_scores(scores, fraction))
            found.setdefault(f"{kind}_loss", []).append(scores.loss)

        for point in cohort.evaluation_points:
            cohort.advance(point)
            last = cohort.evaluate()
            if point in cohort.rungs:
                put("raw", last)
                put("projected", cohort.projected_scores(last))
        put("end", last)
    finally:
        engine.close()
    arrays = {kind: np.stack(scores) for kind, scores in found.items()}
    return {"progress": np.array(cohort.rungs)} | {
        kind: values[0] if kind.startswith("end") else values for kind, values in arrays.items()
    }


def main(options: Sequence[str] = ()) -> None:
    """Record what is asked for and is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m bench recordings")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--fashion", metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(list(options))
    known = courses(asked.fashion)
    for name in asked.only:
        if name not in known:
            parser.error(f"--only {name}: must be of {', '.join(known)}")
    torch.set_num_threads(1)
    print(f"{machine()}; {revision()}", flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.only or known:
        path = asked.out / f"{name}.npz"
        if path.exists():
            continue
        content = io.BytesIO()
        np.savez_compressed(content, **record(name, known[name], asked.threads))
        write_whole(path, content.getvalue())
        print(f"{name}: recorded", flush=True)
