"""How often importance finds the one setting that matters, and how often it names one that does not.

`python -m bench importance [--races 100] [--candidates 48] [--shares 0,0.15,0.3,0.5,0.7]`

Each race draws candidates of `classic` with TPE in generations of 16 and drops them by the default pruner, on scores
that are made, not trained: one of its seven settings explains `share` of the variance of what random draws are worth at
the end, in one of four shapes (tests/study/importance_races.py), the rest is luck. PED-ANOVA (Optuna; the better
quarter, beyond all of 20 deals of the places) is shown beside it on the same races. False: the share of the settings
without influence that were said to matter, one in 20 is allowed.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from bench.rounds import machine, revision
from lanewise.recipe.spaces import classic
from lanewise.sampling.importance import importance, place
from lanewise.sampling.samplers import quiet
from tests.sampling.importance_races import MATTERS, race

Finder = Callable[[Sequence[FrozenTrial], Sequence[int], int], set[str]]
"""(trials, the generation of each, seed) -> the settings said to matter."""


def ours(trials: Sequence[FrozenTrial], generations: Sequence[int], seed: int) -> set[str]:
    """What the report would say."""
    return {one.name for one in importance(trials, seed, generations) if one.beyond_chance}


def ped_anova(trials: Sequence[FrozenTrial], generations: Sequence[int], seed: int) -> set[str]:
    """Settings whose importance by PED-ANOVA is greater than in all of 20 deals of the places at random."""
    found = [place(trial) for trial in trials]
    order = {at: number for number, at in enumerate(sorted({at for at in found if at}))}
    places = np.array([float(order[at]) for at in found if at])
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study()
        study.add_trials(create_trial(params=t.params, distributions=t.distributions, value=0.0) for t in trials)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)

        def measured(values: np.ndarray) -> dict[str, float]:
            return evaluator.evaluate(study, target=lambda trial: float(values[trial.number]))

        real, random = measured(places), np.random.default_rng(seed)
        dealt = [measured(random.permutation(places)) for _ in range(20)]
    return {name for name, value in real.items() if all(value > one[name] for one in dealt)}


FINDERS: dict[str, Finder] = {"lanewise": ours, "PED-ANOVA": ped_anova}


def main(options: Sequence[str] = ()) -> None:
    """Print hits by shape and the share of false alarms, for each share of the variance."""
    parser = argparse.ArgumentParser(prog="python -m bench importance")
    parser.add_argument("--races", type=int, default=100, help="of each shape")
    parser.add_argument("--candidates", type=int, default=48)
    parser.add_argument("--shares", default="0,0.15,0.3,0.5,0.7")
    asked = parser.parse_args(list(options))
    print(f"{machine()}; {revision()}; {asked.races} races of {asked.candidates} candidates for each shape")
    print(
        f"{'share':>6s} {'by':10s} {'false':>15s}  hits: " + "  ".join(f"{shape:>9s}" for shape in MATTERS) + "   all"
    )
    for share in (float(one) for one in asked.shares.split(",")):
        hits: dict[str, list[float]] = {by: [] for by in FINDERS}
        wrong: dict[str, list[bool]] = {by: [] for by in FINDERS}
        for name, effect in MATTERS.values():
            found: dict[str, list[bool]] = {by: [] for by in FINDERS}
            for seed in range(asked.races):
                trials, generations = race(classic(), effect, share, seed, asked.candidates)
                for by, finder in FINDERS.items():
                    said = finder(trials, generations, seed)
                    found[by].append(name in said)
                    wrong[by] += [other in said for other in trials[0].params if other != name]
            for by in FINDERS:
                hits[by].append(float(np.mean(found[by])))
        for by in FINDERS:
            alarms = f"{np.mean(wrong[by]):6.1%} of {len(wrong[by])}"
            shown = "  ".join(f"{hit:9.0%}" for hit in hits[by])
            print(f"{share:6.2f} {by:10s} {alarms:>15s}        {shown}  {np.mean(hits[by]):4.0%}", flush=True)
