"""What each rule of the race loses and spends, replayed on synthetic families of curves and on recorded curves.

`python -m bench rules [--curves FILE ...] [--no-families] [--compute 1/3] [--rungs 1/16,1/8,1/4,1/2] [--fields 200]
[--candidates 32] [--repeats 1]`

FILE is the `traces.parquet` of a `lanewise race --rule none`, or an .npz: either with `progress`, the scores float
[rung, candidate, repeat] as `raw_error`, `raw_loss`, `cool_error`, `cool_loss`, and those at the end as `end_error`,
`end_loss`; or with `progress`, rising to 1, and arrays of any other name, float [point, candidate] or [point,
candidate, repeat], lower is better, such as curves published elsewhere. `--rungs all` puts a rung at every point.

Halving is given `compute`; since it rounds up, every other rule is given what halving spent on average, so
that all compare at equal compute. "best cut" is the single cut that lost least over these fields, of cuts at each of
the rungs: chosen in hindsight, so nobody can run it. Regret: the score at the end of the rule's pick minus the best of
the field, in points of error for the families, in hundredths of the unit for files. Cool-downs are not counted.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from bench.rounds import machine, revision
from lanewise.study import traces
from lanewise.study.racing import RULES, Rule, replay
from lanewise.study.racing.budget import affordable, spent
from lanewise.study.racing.fixed import best
from tests.study.curve_families import FAMILIES

BASIS = "halving"


def recorded(path: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, curves [point, candidate, repeat], their progress) of everything scored in a file."""
    if path.endswith(".parquet"):
        yield from raced(Path(path))
        return
    data, stem = np.load(path), Path(path).stem
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


def fields(curves: np.ndarray, count: int, candidates: int, repeats: int) -> Iterator[np.ndarray]:
    """`count` random fields of the recorded candidates and repeats."""
    generator = np.random.default_rng(0)
    for _ in range(count):
        who = generator.choice(curves.shape[1], min(candidates, curves.shape[1]), replace=False)
        which = generator.choice(curves.shape[2], min(repeats, curves.shape[2]), replace=False)
        yield curves[:, who][:, :, which]


def regrets(
    rule: str | Rule, races: list[np.ndarray], points: np.ndarray, rungs: list[float], compute: float
) -> tuple[np.ndarray, float]:
    """(regret in each race, share of the compute spent on average)."""
    at = [*sorted({int(np.argmin(np.abs(points - rung))) for rung in rungs} - {len(points) - 1}), len(points) - 1]
    lost, spent = [], []
    for race in races:
        picked, cost = replay(rule, race[at], [float(points[one]) for one in at[:-1]], compute)
        ends = race[-1].mean(axis=1)
        # A rule whose survivors all diverged afterwards has nothing; it is charged the median.
        lost.append((ends[picked] if np.isfinite(ends[picked]) else np.nanmedian(ends)) - np.nanmin(ends))
        spent.append(cost)
    return np.array(lost), float(np.mean(spent))


def cut_at(rung: int) -> Rule:
    """One cut at this rung: as many of the best go on to the end as the budget can pay for."""

    def rule(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
        if len(scores) - 1 != rung:
            return live
        left = compute * scores.shape[1] - spent(scores, progress, live)
        return best(scores, live, affordable(len(live), progress[rung : rung + 1], left, np.ones(1)))

    return rule


def judge(name: str, races: list[np.ndarray], points: np.ndarray, rungs: list[float], compute: float) -> None:
    """Print a row for each rule: spent, regret with 95% interval, its ratio to halving's."""
    basis, equal = regrets(BASIS, races, points, rungs, compute)
    found = {rule: (basis, equal) if rule == BASIS else regrets(rule, races, points, rungs, equal) for rule in RULES}
    cuts = [cut_at(at) for at, rung in enumerate(rungs) if rung < equal]
    if cuts:
        tried = (regrets(one, races, points, rungs, equal) for one in cuts)
        found["best cut"] = min(tried, key=lambda result: result[0].mean())
    for rule, (lost, share) in found.items():
        half = 1.96 * lost.std(ddof=1) / np.sqrt(len(lost))
        ratio = lost.mean() / basis.mean() if basis.mean() > 0 else np.nan
        kept = np.mean(lost <= 0)
        print(
            f"{name:26s} {rule:10s} {share:6.3f}  {lost.mean():7.3f} +- {half:5.3f}  {ratio:6.2f}  {kept:5.0%}",
            flush=True,
        )


def main(options: Sequence[str] = ()) -> None:
    """Judge all rules on the families and on the files named."""
    parser = argparse.ArgumentParser(prog="python -m bench rules")
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
    print(f"{'curves':26s} {'rule':10s} {'spent':>6s}  {'regret, 95% interval':>16s}  {'ratio':>6s}  best kept")
    for path in asked.curves:
        for name, curves, points in recorded(path):
            judge(name, list(fields(curves, *shape)), points, rungs or points[:-1].tolist(), compute)
    if not asked.no_families:
        for name, family in FAMILIES.items():
            drawn = [family(asked.candidates, asked.repeats, seed) for seed in range(asked.fields)]
            points = drawn[0][1]
            judge(name, [curves for curves, _ in drawn], points, rungs or points[:-1].tolist(), compute)
