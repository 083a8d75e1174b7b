"""What each pruner of the race loses and spends, replayed on synthetic families of curves and on recorded curves.

`python -m bench pruners [--curves FILE ...] [--no-families] [--compute 1/3] [--rungs 1/16,1/8,1/4,1/2] [--fields 200]
[--candidates 32] [--repeats 1]`

FILE is one of

- the `traces.parquet` of a `lanewise race --pruner none`;
- the .npz that `python -m bench recordings` writes;
- an .npz with `progress`, the scores float [rung, candidate, repeat] as `raw_error`, `raw_loss`, `cool_error`,
  `cool_loss`, and those at the end as `end_error`, `end_loss`;
- an .npz with `W/name`, `W/offset`, `W/step` and `W/value` for each workload W, as the curves of AlgoPerf are kept
  (name: of a trial, in which `study_N` says the seed);
- an .npz with `progress`, rising to 1, and arrays of any other name, float [point, candidate] or [point, candidate,
  repeat], lower is better, such as curves published elsewhere.

`--rungs all` puts a rung at every point.

Halving is given `compute`; since it rounds up, every other pruner is given what halving spent on average, so that all
compare at equal compute. "best cut" is the single cut that lost least over these fields, of cuts at each of the rungs:
chosen in hindsight, so nobody can run it. "random" trains a random share of the field to the end and picks the best: a
pruner that does not lose less is worthless on these curves.

Regret: what the pruner's pick is worth minus the best of the field, in points of error for the families, in hundredths
of the unit for files. Where there are repeats that the race has not seen, a candidate is worth its mean at the end over
these: judged by its own last score a pick profits from luck, and who finishes more runs draws more of it. Cool-downs
are not counted.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from bench.rounds import machine, revision
from lanewise.racing import PRUNERS, Pruner, replay
from lanewise.racing.budget import affordable, spent
from lanewise.racing.fixed import best
from lanewise.record import traces
from tests.racing.curve_families import FAMILIES

BASIS = "halving"
OTHERS = 8
"""Repeats of a family by which picks are judged."""


def recorded(path: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, curves [point, candidate, repeat], their progress) of everything scored in a file."""
    if path.endswith(".parquet"):
        yield from raced(Path(path))
        return
    data, stem = np.load(path), Path(path).stem
    if "projected" in data:
        for kind in ("raw", "raw_loss", "projected", "projected_loss"):
            end = data["end_loss" if kind.endswith("loss") else "end"]
            yield f"{stem} {kind}", 100 * np.concatenate([data[kind], end[None]]), np.append(data["progress"], 1.0)
        return
    if any(name.endswith("/offset") for name in data):
        yield from by_seed(data)
        return
    if "end_error" not in data:
        yield from published(stem, data)
        return
    for kind in ("raw", "cool"):
        for name in ("error", "loss"):
            curves = np.concatenate([data[f"{kind}_{name}"], data[f"end_{name}"][None]])
            yield f"{stem} {kind} {name}", 100 * curves, np.append(data["progress"], 1.0)


def published(stem: str, data: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The same of curves that reach to the end, each array by its name."""
    for name in data:
        if name != "progress":
            curves = data[name] if data[name].ndim == 3 else data[name][:, :, None]
            yield f"{stem} {name}", 100 * curves, data["progress"]


def by_seed(data: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The same of trials of unequal length, one curve for each seed of a configuration; progress is that of a trial.

    Trials that ended before a quarter of the median length, or with fewer than 16 evaluations, are left out, and
    configurations with fewer than 3 seeds; a configuration with fewer seeds than others has NaN.
    """
    points = np.arange(1, 33) / 32
    for workload in sorted({name.split("/")[0] for name in data}):
        names, offset, step, value = (data[f"{workload}/{one}"] for one in ("name", "offset", "step", "value"))
        last, seeds = step[offset[1:] - 1], dict[str, list[np.ndarray]]()
        for at, name in enumerate(names.tolist()):
            span = slice(offset[at], offset[at + 1])
            if offset[at + 1] - offset[at] >= 16 and last[at] >= np.median(last) / 4:
                reached = np.searchsorted(step[span] / last[at], points + 1e-9, side="right") - 1
                key = "/".join(part for part in name.split("/") if not part.startswith("study_"))
                seeds.setdefault(key, []).append(value[span][np.maximum(reached, 0)])
        usable = [found for found in seeds.values() if len(found) >= 3]
        curves = np.full((len(points), len(usable), max(map(len, usable))), np.nan)
        for at, found in enumerate(usable):
            curves[:, at, : len(found)] = np.stack(found, axis=1)
        yield workload, 100 * curves, points


def raced(path: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The same of the traces that a race left."""
    rows = [row for row in traces.read(path).to_pylist() if row["phase"] == traces.RACE]
    points = np.unique([row["progress"] for row in rows])
    most = [max(row[name] for row in rows) + 1 for name in ("candidate", "repeat")]
    for name, score in (
        ("loss", lambda row: row["validation_loss"]),
        ("error", lambda row: 1 - row["metric"]),
    ):
        curves = np.full((len(points), *most), np.nan)
        for row in rows:
            curves[np.searchsorted(points, row["progress"]), row["candidate"], row["repeat"]] = 100 * score(row)
        yield f"{path.parent.name} {name}", curves, points


@dataclass(frozen=True)
class Field:
    """A race to be replayed: curves [point, candidate, repeat], and what each candidate is worth, [candidate]."""

    curves: np.ndarray
    worth: np.ndarray


def field(curves: np.ndarray, repeats: int, generator: np.random.Generator) -> Field:
    """A race on some of each candidate's repeats, judged by the others; by its own where it has no others."""
    chosen, worth = np.empty((*curves.shape[:2], repeats)), np.empty(curves.shape[1])
    order = generator.permutation(curves.shape[2])
    scored = ~np.isnan(curves).all(axis=0)
    for candidate in range(curves.shape[1]):
        own = order[scored[candidate, order]] if scored[candidate].any() else order
        given, others = own[:repeats], own[repeats:]
        chosen[:, candidate] = curves[:, candidate, np.resize(given, repeats)]
        worth[candidate] = curves[-1, candidate, others if len(others) else given].mean()
    finite = worth[np.isfinite(worth)]
    # A pick that diverges in other repeats is charged as the worst of the others.
    return Field(chosen, np.where(np.isfinite(worth), worth, finite.max()))


def fields(curves: np.ndarray, count: int, candidates: int, repeats: int) -> Iterator[Field]:
    """`count` random fields of the recorded candidates and repeats."""
    generator = np.random.default_rng(0)
    for _ in range(count):
        who = generator.choice(curves.shape[1], min(candidates, curves.shape[1]), replace=False)
        yield field(curves[:, who], min(repeats, curves.shape[2]), generator)


def regrets(
    pruner: str | Pruner, races: list[Field], points: np.ndarray, rungs: list[float], compute: float
) -> tuple[np.ndarray, float]:
    """(regret in each race, share of the compute spent on average)."""
    at = [*sorted({int(np.argmin(np.abs(points - rung))) for rung in rungs} - {len(points) - 1}), len(points) - 1]
    lost, spent = [], []
    for race in races:
        picked, cost = replay(pruner, race.curves[at], [float(points[one]) for one in at[:-1]], compute)
        lost.append(race.worth[picked] - race.worth.min())
        spent.append(cost)
    return np.array(lost), float(np.mean(spent))


def at_random(races: list[Field], compute: float, draws: int = 10) -> tuple[np.ndarray, float]:
    """The same of training a random share of the field to the end, `draws` times each."""
    generator, lost = np.random.default_rng(0), []
    for race in races:
        ends, count = race.curves[-1].mean(axis=1), len(race.worth)
        ends = np.where(np.isfinite(ends), ends, np.inf)
        some = (generator.permutation(count)[: max(1, round(compute * count))] for _ in range(draws))
        lost.append(float(np.mean([race.worth[one[np.argmin(ends[one])]] for one in some])) - race.worth.min())
    return np.array(lost), compute


def cut_at(rung: int) -> Pruner:
    """One cut at this rung: as many of the best go on to the end as the budget can pay for."""

    def pruner(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
        if len(scores) - 1 != rung:
            return live
        left = compute * scores.shape[1] - spent(scores, progress, live)
        return best(scores, live, affordable(len(live), progress[rung : rung + 1], left, np.ones(1)))

    return pruner


def judge(name: str, races: list[Field], points: np.ndarray, rungs: list[float], compute: float) -> None:
    """Print a row for each pruner: spent, regret with 95% interval, its ratio to halving's and to that of random."""
    basis, equal = regrets(BASIS, races, points, rungs, compute)
    found = {
        pruner: (basis, equal) if pruner == BASIS else regrets(pruner, races, points, rungs, equal)
        for pruner in PRUNERS
    }
    cuts = [cut_at(at) for at, rung in enumerate(rungs) if rung < equal]
    if cuts:
        tried = (regrets(one, races, points, rungs, equal) for one in cuts)
        found["best cut"] = min(tried, key=lambda result: result[0].mean())
    found["random"] = at_random(races, equal)
    for pruner, (lost, share) in found.items():
        half = 1.96 * lost.std(ddof=1) / np.sqrt(len(lost))
        ratio = lost.mean() / basis.mean() if basis.mean() > 0 else np.nan
        chance = found["random"][0].mean()
        of_random = lost.mean() / chance if chance > 0 else np.nan
        print(
            f"{name:30s} {pruner:10s} {share:6.3f}  {lost.mean():7.3f} +- {half:5.3f}  {ratio:6.2f}  {of_random:9.2f}  "
            f"{np.mean(lost <= 0):5.0%}",
            flush=True,
        )


def main(options: Sequence[str] = ()) -> None:
    """Judge all pruners on the families and on the files named."""
    parser = argparse.ArgumentParser(prog="python -m bench pruners")
    parser.add_argument("--curves", nargs="*", default=[], metavar="FILE.npz")
    parser.add_argument("--no-families", action="store_true")
    parser.add_argument("--compute", type=Fraction, default=Fraction(1, 3))
    parser.add_argument("--rungs", default="1/16,1/8,1/4,1/2")
    for name, default in (("--fields", 200), ("--candidates", 32), ("--repeats", 1)):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args(list(options))
    rungs = [] if asked.rungs == "all" else [float(Fraction(one)) for one in asked.rungs.split(",")]
    compute = float(asked.compute)
    shape = (asked.fields, asked.candidates, asked.repeats)
    shown = ", ".join(f"{one:.3g}" for one in rungs) or "at every point"
    print(f"{machine()}; {revision()}; {shape[0]} fields of {shape[1]} candidates, {shape[2]} repeat(s)")
    print(f"rungs {shown}; compute {compute:.3f} to {BASIS}, its spending to the others")
    print(f"{'curves':30s} {'pruner':10s} {'spent':>6s}  {'regret, 95% CI':>16s}  {'ratio':>6s}  of random  best kept")
    for path in asked.curves:
        for name, curves, points in recorded(path):
            judge(name, list(fields(curves, *shape)), points, rungs or points[:-1].tolist(), compute)
    if not asked.no_families:
        for name, family in FAMILIES.items():
            drawn = [family(asked.candidates, asked.repeats + OTHERS, seed) for seed in range(asked.fields)]
            points, generator = drawn[0][1], np.random.default_rng(0)
            judge(
                name,
                [field(curves, asked.repeats, generator) for curves, _ in drawn],
                points,
                rungs or points[:-1].tolist(),
                compute,
            )
