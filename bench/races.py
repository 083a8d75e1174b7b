"""Races on digits and on Fashion-MNIST: which score of a rung tells the truth, and what each pruner's pick loses."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.race_curves import FEW, RUNGS, Course, digits, fashion, record
from bench.race_model import compare
from bench.race_replay import Array, Judge, Prices, entrants, fields, regrets, tau_table, with_projected_score
from bench.rounds import machine, revision
from lanewise.data import hold_out
from lanewise.errors import InputError
from lanewise.lanes.machine.workers import available_threads
from lanewise.lanes.training.averaging import RUNG_ROWS

KINDS = ("raw", "cool1", "cool2", "cool", "cool5", "cool10", "fresh", "tail", "ema2", "ema5", "projected_score")
RACED = ("raw", "cool", "tail", "projected_score")
TAU_RUNGS = (2, 4, 8)
RACE_RUNGS = (2, 4, 8)
"""The rungs of the pruners with a budget, where all kinds of scores were taken."""
COMPUTES = (0.2, 1 / 3, 0.5)
FIELDS, FIELD = 200, 32
DRAWS = 300
KNOWN, CHOICES = 16, 200
"""Candidates that the curve model has seen to the end: a generation of a default race."""


def main(arguments: Sequence[str] = ()) -> None:
    """Record what is not recorded yet, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench races", description=__doc__)
    parser.add_argument("--curves", type=Path, help="folder that keeps what was recorded; by default a temporary one")
    parser.add_argument("--fashion", type=Path, help="folder with Fashion-MNIST's IDX files; left out without it")
    parser.add_argument("--threads", type=int, default=available_threads(), help="threads to train with")
    parser.add_argument("--no-digits", action="store_true", help="leave digits out")
    given = parser.parse_args(list(arguments))
    torch.set_num_threads(1)
    try:
        courses = [] if given.no_digits else [digits()]
        courses += [fashion(given.fashion)] if given.fashion else []
    except InputError as error:
        parser.error(str(error))
    print(f"Races\n{machine()}; {revision()}")
    with tempfile.TemporaryDirectory() as folder:
        kept = given.curves or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        for course in courses:
            report(course, with_projected_score(record(course, kept / f"{course.name}.npz", given.threads)))


def report(course: Course, curves: dict[str, Array]) -> None:
    """The tables of one course."""
    split = hold_out(course.task.source, 0).split(0, lambda repeat: repeat)
    rows = len(split.train), len(split.valid)
    prices = Prices.of(*rows, RUNG_ROWS, course.epochs)
    print(
        f"\n{course.name}: {course.task.model_name}, {rows[0]:,} training and {rows[1]:,} validation rows, "
        f"{course.epochs} epochs; {course.candidates} candidates of classic, {course.race_repeats} repeats to race on, "
        f"{course.true_repeats} others for the truth"
    )
    for judge in (Judge("loss"), Judge("error")):
        print(f"\nJudged by validation {judge.name}")
        taus(curves, judge, prices, half=False)
        taus(curves, judge, prices, half=True)
        model(curves, judge)
        pick(curves, judge, prices, course.race_repeats)
    pick(curves, Judge("error"), prices, 1)


def taus(curves: dict[str, Array], judge: Judge, prices: Prices, half: bool) -> None:
    """Kendall's tau of every kind of score with the truth."""
    chosen = best_half(curves, judge) if half else curves
    who = "the better half of the candidates" if half else "all candidates"
    print(f"Kendall's tau of score and truth, {who}: value [95% interval], and what it is above that of the raw score")
    print(f"{'score':8}{'price, % of a run':>18}" + "".join(f"{f'at {rung}/{RUNGS}':^44}" for rung in TAU_RUNGS))
    tables = [tau_table(chosen, judge, KINDS, rung - 1, DRAWS) for rung in TAU_RUNGS]
    for kind in KINDS:
        cells = (f"{interval_text(table[kind][0])}  {interval_text(table[kind][1], '+')}" for table in tables)
        print(f"{kind:8}{100 * prices.score(kind):>18.1f}" + "".join(f"{cell:^44}" for cell in cells))


def model(curves: dict[str, Array], judge: Judge) -> None:
    """Kendall's tau of a learning-curve model that knows the ends of some candidates, on the others."""
    print(
        f"Kendall's tau of a curve model, better half of the candidates it does not know, {CHOICES} choices of {KNOWN}"
    )
    for rung in TAU_RUNGS:
        plain, modelled = compare(curves, judge, rung, KNOWN, CHOICES)
        print(f"at {rung}/{RUNGS}: averaged weights {interval_text(plain)}, the model {interval_text(modelled)}")


def best_half(curves: dict[str, Array], judge: Judge) -> dict[str, Array]:
    """The curves of the better half of the candidates by the truth."""
    truth = judge.truth(curves).mean(axis=1)
    best = truth.argsort(kind="stable")[: len(truth) // 2]
    return {
        name: values[..., best, :] if values.ndim > 1 and name != "rate" else values for name, values in curves.items()
    }


def pick(curves: dict[str, Array], judge: Judge, prices: Prices, repeats: int) -> None:
    """Regret against compute for every pruner, with each kind of score."""
    drawn = fields(curves, FIELDS, FIELD, repeats)
    factor, unit = (100, "points of error") if judge.name == "error" else (1000, "thousandths of loss")
    print(f"Regret in {unit}, {FIELDS} fields of {FIELD} candidates, {repeats} repeat(s) each: mean [95% interval]")
    print(f"{'pruner':20}{'score':8}{'allowed':>8}{'compute':>9}{'own pick':>26}{'confirmed pick':>26}")
    for one in entrants(RACED, COMPUTES, RACE_RUNGS):
        own, confirmed, compute = regrets(curves, judge, one, prices, drawn)
        allowed = f"{one.compute:.2f}" if one.compute < 1 else ""
        texts = (interval_text(factor * found) for found in (own, confirmed))
        print(f"{one.name:20}{one.kind:8}{allowed:>8}{compute:>9.3f}" + "".join(f"{text:>26}" for text in texts))


def interval_text(found: Array, sign: str = "") -> str:
    """`value [low, high]`."""
    value, low, high = found
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


assert set(TAU_RUNGS) | set(RACE_RUNGS) <= set(FEW)
