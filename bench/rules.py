"""What each rule of the race loses and spends, replayed on synthetic families of curves and on recorded curves.

`python -m bench rules [--curves FILE ...] [--no-families] [--compute 1/3] [--rungs 1/16,1/8,1/4,1/2] [--fields 200]
[--candidates 32] [--repeats 1]`

FILE is the `traces.parquet` of a `lanewise race --rule none`, or an .npz with `progress`, with scores float
[rung, candidate, repeat] as `raw_error`, `raw_loss`, `cool_error`, `cool_loss`, and those at the end as `end_error`,
`end_loss`. Halving is given `compute`; since it rounds up, every other rule is given what halving spent on average, so
that all compare at equal compute. Regret: the score at the end of the rule's pick minus the best of the field, in the
unit of the curves (points of error, hundredths of a loss). Cool-downs are not counted.
"""

import argparse
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from bench.rounds import machine, revision
from lanewise.study import traces
from lanewise.study.racing import RULES, replay
from tests.study.curve_families import FAMILIES

BASIS = "halving"


def recorded(path: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, curves [point, candidate, repeat], their progress) of everything scored in a file."""
    if path.endswith(".parquet"):
        yield from raced(Path(path))
        return
    data, stem = np.load(path), Path(path).stem
    for kind in ("raw", "cool"):
        for name in ("error", "loss"):
            curves = np.concatenate([data[f"{kind}_{name}"], data[f"end_{name}"][None]])
            yield f"{stem} {kind} {name}", 100 * curves, np.append(data["progress"], 1.0)


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
    rule: str, races: list[np.ndarray], points: np.ndarray, rungs: list[float], compute: float
) -> tuple[np.ndarray, float]:
    """(regret in each race, share of the compute spent on average)."""
    at = [int(np.argmin(np.abs(points - rung))) for rung in rungs] + [len(points) - 1]
    lost, spent = [], []
    for race in races:
        picked, cost = replay(rule, race[at], [float(points[one]) for one in at[:-1]], compute)
        ends = race[-1].mean(axis=1)
        # A rule whose survivors all diverged afterwards has nothing; it is charged the median.
        lost.append((ends[picked] if np.isfinite(ends[picked]) else np.nanmedian(ends)) - np.nanmin(ends))
        spent.append(cost)
    return np.array(lost), float(np.mean(spent))


def judge(name: str, races: list[np.ndarray], points: np.ndarray, rungs: list[float], compute: float) -> None:
    """Print a row for each rule: spent, regret with 95% interval, its ratio to halving's."""
    basis, equal = regrets(BASIS, races, points, rungs, compute)
    for rule in RULES:
        lost, spent = (basis, equal) if rule == BASIS else regrets(rule, races, points, rungs, equal)
        half = 1.96 * lost.std(ddof=1) / np.sqrt(len(lost))
        ratio = lost.mean() / basis.mean() if basis.mean() > 0 else np.nan
        found = np.mean(lost <= 0)
        print(
            f"{name:26s} {rule:10s} {spent:6.3f}  {lost.mean():7.3f} +- {half:5.3f}  {ratio:6.2f}  {found:5.0%}",
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
    rungs, compute = [float(Fraction(one)) for one in asked.rungs.split(",")], float(asked.compute)
    shape = (asked.fields, asked.candidates, asked.repeats)
    shown = ", ".join(f"{one:.3g}" for one in rungs)
    print(f"{machine()}; {revision()}; {shape[0]} fields of {shape[1]} candidates, {shape[2]} repeat(s)")
    print(f"rungs {shown}; compute {compute:.3f} to {BASIS}, its spending to the others")
    print(f"{'curves':26s} {'rule':10s} {'spent':>6s}  {'regret, 95% interval':>16s}  {'ratio':>6s}  best kept")
    for path in asked.curves:
        for name, curves, points in recorded(path):
            judge(name, list(fields(curves, *shape)), points, rungs, compute)
    if not asked.no_families:
        for name, family in FAMILIES.items():
            drawn = [family(asked.candidates, asked.repeats, seed) for seed in range(asked.fields)]
            judge(name, [curves for curves, _ in drawn], drawn[0][1], rungs, compute)
