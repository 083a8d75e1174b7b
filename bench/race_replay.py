"""Races replayed over recorded curves: how well a rung's score tells the truth, and what a pruner's pick loses.

Pure functions of the arrays that `race_curves` records; nothing is trained here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.race_curves import COOL, RUNGS
from lanewise.lanes.training.groups import Scores
from lanewise.racing import PRUNERS, Pruner
from lanewise.record.candidate import rung_scores

Array = np.ndarray[Any, Any]

FORWARD = 1 / 3
"""Share of a training step that a forward pass over as many rows costs."""
CONFIRMED, CONFIRM_REPEATS = 4, 5
"""Finalists of a replayed race, and the fresh repeats that they are confirmed on."""


@dataclass(frozen=True)
class Judge:
    """What is asked of a recipe: its validation loss, or its error with the loss to tell ties, as the race has it."""

    name: str

    def scores(self, curves: dict[str, Array], kind: str) -> Array:
        """Scores of `kind`, [..., candidate, repeat], lower is better, infinite where a lane diverged."""
        loss, error = curves[f"{kind}_loss"], curves[f"{kind}_error"]
        return loss if self.name == "loss" else rung_scores(Scores(loss, 1 - error))

    def truth(self, curves: dict[str, Array]) -> Array:
        """What every candidate is worth in each of the repeats for the truth; infinite if it diverged in one."""
        found = curves[f"truth_{self.name}"]
        return np.where(np.isnan(found).any(axis=1, keepdims=True), np.inf, found)


def with_projected_score(curves: dict[str, Array]) -> dict[str, Array]:
    """`curves` with the score that the race uses: `tail` as far as a lane's rate is still to fall, else `raw`."""
    now, end = curves["rate"][:, 10 : 10 * RUNGS : 10].T, curves["rate"][:, -1]
    share = np.clip(1 - end / np.maximum(now, 1e-12), 0, 1)[..., None]
    made = {
        f"promise_{of}": share * curves[f"tail_{of}"] + (1 - share) * curves[f"raw_{of}"] for of in ("loss", "error")
    }
    return curves | made


def ranks(values: Array) -> Array:
    """The mean over repeats of each candidate; those with a NaN, and infinite ones, come last."""
    return np.nan_to_num(values.mean(axis=-1), nan=1e30, posinf=1e30)


def tau(scores: Array, truth: Array) -> float:
    """Kendall's tau-b between scores and truth, [candidate, repeat] each."""
    first, second = (np.sign(mean[:, None] - mean) for mean in (ranks(scores), ranks(truth)))
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def tau_table(
    curves: dict[str, Array], judge: Judge, kinds: Sequence[str], rung: int, draws: int, seed: int = 0
) -> dict[str, tuple[Array, Array]]:
    """kind -> (tau, tau less that of the raw score), each [3]: the value and its 95% interval.

    Intervals are by bootstrap over candidates and over the repeats of race and truth.
    """
    generator = np.random.default_rng(seed)
    truth = judge.truth(curves)
    rungs = {kind: judge.scores(curves, kind)[rung] for kind in kinds}
    count, race_repeats, true_repeats = len(truth), rungs["raw"].shape[-1], truth.shape[-1]
    found: dict[str, list[float]] = {kind: [tau(rungs[kind], truth)] for kind in kinds}
    for _ in range(draws):
        some = generator.integers(count, size=count)
        race, true = (
            generator.integers(race_repeats, size=race_repeats),
            generator.integers(true_repeats, size=true_repeats),
        )
        for kind in kinds:
            found[kind].append(tau(rungs[kind][some][:, race], truth[some][:, true]))
    return {kind: (interval(np.array(taus)), interval(np.array(taus) - found["raw"])) for kind, taus in found.items()}


def interval(values: Array) -> Array:
    """The first value, with the 2.5th and 97.5th percentile of the others."""
    return np.array([values[0], *np.percentile(values[1:], [2.5, 97.5])])


@dataclass(frozen=True)
class Prices:
    """What scores cost, as shares of a run: a forward pass over validation rows, and batch norm's re-estimation."""

    evaluation: float
    reestimation: float

    @classmethod
    def of(cls, train_rows: int, valid_rows: int, reestimation_rows: int, epochs: int) -> "Prices":
        return cls(*(FORWARD * rows / train_rows / epochs for rows in (valid_rows, reestimation_rows)))

    def score(self, kind: str) -> float:
        """What scoring a lane once costs."""
        if kind == "raw":
            return self.evaluation
        if kind == "projected_score":
            return 2 * self.evaluation + self.reestimation
        if kind.startswith("cool"):
            percent = kind.removeprefix("cool").removesuffix("fresh")
            extra = self.reestimation if kind.endswith("fresh") else 0.0
            return self.evaluation + extra + (float(percent) / 100 if percent else COOL)
        return self.evaluation + self.reestimation


@dataclass(frozen=True)
class Entrant:
    """A way to race: a pruner by what it does, a kind of score, the rungs (in RUNGS-ths of the run), its `compute`."""

    name: str
    pruner: Pruner
    kind: str
    rungs: tuple[int, ...]
    compute: float


@dataclass(frozen=True)
class Field:
    """A race to be run: its candidates, the race's repeats, and the true repeats to confirm on and to be judged by."""

    candidates: Array
    repeats: Array
    confirming: Array
    judging: Array


def fields(curves: dict[str, Array], count: int, size: int, repeats: int, seed: int = 0) -> list[Field]:
    """`count` fields of `size` of the candidates, with so many of the race's repeats; drawn anew each time."""
    generator = np.random.default_rng(seed)
    candidates, race_repeats = curves["end_loss"].shape
    made = []
    for _ in range(count):
        true = generator.permutation(curves["truth_loss"].shape[1])
        made.append(
            Field(
                np.sort(generator.choice(candidates, size, replace=False)),
                np.sort(generator.choice(race_repeats, repeats, replace=False)),
                true[:CONFIRM_REPEATS],
                true[CONFIRM_REPEATS:],
            )
        )
    return made


def run(
    scored: Array, ended: Array, true: Array, entrant: Entrant, prices: Prices, field: Field
) -> tuple[float, float, float]:
    """(regret of the race's own pick, regret once confirmed, compute spent without the confirmation) of one race.

    Regret is the truth of the pick less that of the best candidate of the field, by all true repeats or, once some have
    confirmed, by the others; candidates that diverged leave before the pruner is asked. Compute: share of training the
    whole field to the end, the last evaluation counted. `scored` [rung, candidate, repeat] are the scores of its kind,
    `ended` those at the end, `true` [candidate, true repeat] the truth.
    """
    place = np.ix_(field.candidates, field.repeats)
    recorded = [scored[rung - 1][place] for rung in entrant.rungs]
    progress = np.array(entrant.rungs) / RUNGS
    live = np.arange(len(field.candidates))
    scores = np.full((len(entrant.rungs), len(live), len(field.repeats)), np.nan)
    spent, before = 0.0, 0.0
    for rung, at in enumerate(progress):
        spent += len(live) * (at - before + prices.score(entrant.kind))
        live = live[np.isfinite(recorded[rung][live]).all(axis=1)]
        scores[rung, live] = recorded[rung][live]
        live, before = entrant.pruner(scores[: rung + 1], progress, live, entrant.compute), at
    spent += len(live) * (1 - before + prices.evaluation)
    ends = ranks(ended[place])
    ranked = live[np.argsort(ends[live], kind="stable")]
    truth = true[field.candidates]
    whole, fair, fresh = ranks(truth), ranks(truth[:, field.judging]), ranks(truth[:, field.confirming])
    finalists = ranked[:CONFIRMED]
    confirmed = finalists[np.argmin(fresh[finalists])]
    return whole[ranked[0]] - whole.min(), fair[confirmed] - fair.min(), spent / len(field.candidates)


def keep_share(share: float) -> Pruner:
    """Successive halving as published: the same given share stays at every rung, whatever it costs."""

    def pruner(scores: Array, progress: Array, live: Array, compute: float) -> Array:
        order = live[np.argsort(ranks(scores[-1][live]), kind="stable")]
        return np.sort(order[: max(1, round(share * len(live)))])

    return pruner


def entrants(kinds: Sequence[str], computes: Sequence[float], default_rungs: tuple[int, ...]) -> list[Entrant]:
    """Every pruner of `PRUNERS` at several budgets with each kind of score, and successive halving beside them."""
    made = [Entrant("none", PRUNERS["none"], "raw", (), 1.0)]
    for kind in kinds:
        made.append(Entrant("halving, keep 1/2", keep_share(1 / 2), kind, (1, 2, 4, 8), 1.0))
        made.append(Entrant("halving, keep 1/3", keep_share(1 / 3), kind, (1, 4), 1.0))
        for name, pruner in PRUNERS.items():
            if name != "none":
                made += [Entrant(name, pruner, kind, default_rungs, compute) for compute in computes]
    return made


def regrets(
    curves: dict[str, Array], judge: Judge, entrant: Entrant, prices: Prices, drawn: Sequence[Field], draws: int = 1000
) -> tuple[Array, Array, float]:
    """Mean regret with its 95% interval, of the race's own pick and of the confirmed one, and the mean compute."""
    recorded = judge.scores(curves, entrant.kind), judge.scores(curves, "end"), judge.truth(curves)
    ran = np.array([run(*recorded, entrant, prices, field) for field in drawn])
    generator = np.random.default_rng(0)
    again = generator.integers(len(ran), size=(draws, len(ran)))
    own, confirmed = (interval(np.concatenate([[v.mean()], v[again].mean(axis=1)])) for v in ran.T[:2])
    return own, confirmed, float(ran[:, 2].mean())
