"""What mattered: how far each setting told the better candidates of a study from the others, by Optuna's measure."""

import importlib
import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from lanewise.lanes.streams import stream_seed
from lanewise.study.samplers import quiet

LEAST = 20
"""Candidates below which nothing is said: Optuna asks for five in the better part."""
BETTER = 0.25
"""Share of the candidates that count as the better ones. Optuna's tenth would be two of twenty."""
SHUFFLES = 20
"""Times that the places are dealt out at random, to see what importance chance alone gives."""


@dataclass(frozen=True)
class Importance:
    """How much a setting had to do with being among the better quarter.

    Attributes:
        name: as the sampler knows it. share: of the importance of all settings, which sums to 1.
        beyond_chance: whether it is more than in all of `SHUFFLES` deals of the places at random, which happens to a
            setting without any influence once in 21 times.
        candidates: how many had it; a setting inside an option does not apply to all.
    """

    name: str
    share: float
    beyond_chance: bool
    candidates: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json`."""
        return asdict(self)


def import_ahead() -> None:
    """Begin to import what `importance` needs, for which there is time while lanes train without Python's lock."""
    threading.Thread(target=importlib.import_module, args=("optuna.importance",), daemon=True).start()


def importance(trials: Sequence[FrozenTrial], seed: int) -> tuple[Importance, ...]:
    """What mattered among `trials`, most first; nothing where too few have a place or differ in their place.

    It is PED-ANOVA: the distribution of a setting among the better quarter against that among all. It takes settings
    one by one, so that two which matter only together get little, and it sees no more than what the sampler drew. Every
    candidate counts by its place: those that finished by their score, then those that left, later ones first, by their
    score at the last rung; the diverged share the last place.

    Args:
        trials: of the whole study; those from outside the space have no settings of it and are passed over.
        seed: of the study, for the shuffles.
    """
    finished = (TrialState.COMPLETE, TrialState.PRUNED)
    kept = [(trial, at) for trial in trials if trial.params and trial.state in finished and (at := place(trial))]
    order = {at: float(number) for number, at in enumerate(sorted({at for _, at in kept}))}
    if len(kept) < LEAST or len(order) < 2:
        return ()
    places = [order[at] for _, at in kept]
    with quiet():
        study = optuna.create_study()
        study.add_trials(
            create_trial(params=trial.params, distributions=trial.distributions, value=at)
            for (trial, _), at in zip(kept, places, strict=True)
        )
    found = measured(study, np.array(places))
    random = np.random.default_rng(stream_seed(seed, "importance"))
    dealt = [measured(study, random.permutation(places)) for _ in range(SHUFFLES)]
    total = sum(found.values())
    if not total > 0:
        return ()
    return tuple(
        Importance(
            name,
            value / total,
            all(value > by_chance[name] for by_chance in dealt),
            sum(name in trial.params for trial, _ in kept),
        )
        for name, value in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def place(trial: FrozenTrial) -> tuple[int, float] | None:
    """What candidates are ordered by, best first; None for one that was never scored."""
    if trial.state == TrialState.COMPLETE:
        return (-(10**6), float(trial.values[0]))
    if trial.user_attrs.get("diverged"):
        return (1, 0.0)
    if trial.intermediate_values:
        rung = max(trial.intermediate_values)
        return (-rung, trial.intermediate_values[rung])
    return None


def measured(study: optuna.Study, places: np.ndarray) -> dict[str, float]:
    """The importance of every setting for coming to a low place, one place for each trial."""
    # It brings scikit-learn's forests, which take a second to import; see `import_ahead`.
    from optuna.importance import PedAnovaImportanceEvaluator

    evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER)
    with warnings.catch_warnings():
        # It warns that a low target counts as better, which is meant.
        warnings.simplefilter("ignore")
        found = evaluator.evaluate(study, target=lambda trial: float(places[trial.number]))
    return {name: float(value) for name, value in found.items()}
