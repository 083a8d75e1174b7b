"""The rule of Lanewise: most leave early, and how many leave later is decided by whether rungs agree over repeats."""

import numpy as np

from lanewise.study.racing.budget import affordable, spent
from lanewise.study.racing.evidence import agreement, standing
from lanewise.study.racing.rule import sound

EARLY = 0.5
"""How many more than are to reach the end stay after the first rung, as a share; it falls as 1 / progress^2, so that
a second and a third rung decide on the doubtful ones. 0.5 lost
least of 0, 0.5 and 1.5 on curves whose middle misleads."""
STEEPEST = 3.0
"""Decline of the number kept, as exp(-decline x progress), where later rungs are trusted wholly. 0 is an early cut."""
UNKNOWN = 0.5
"""Trust in later rungs, with several repeats, before two rungs can be compared; worth `PRIOR` candidates after."""
PRIOR = 8
DISTRUST, TRUST = 0.3, 0.8
"""Agreement of the first and the last rung at which later rungs are not trusted at all, and wholly."""


def lanewise(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """As many stay as the budget can pay for; how it is spread over the run is decided by the evidence.

    The numbers kept from here on are planned as m (1 + EARLY (t1 / t)^2) exp(-d t), with t the progress, t1 that of the
    first rung, and m such that the race spends what is left of its budget. d = 0 keeps most of them to the end, like an
    early cut; a large d keeps many now and drops them later, by scores that are closer to the end. Which is better
    depends on whether later rungs tell more: d = STEEPEST x trust, see `trust`. Where decay is still to come and rungs
    disagree, what was decided early stands. Who stays is decided by the normal scores of all rungs seen, which count
    the less the more the paired repeats differ, see `evidence.weights`.

    The plan is made anew at every rung, so budget that divergence or rounding left over is spent.

    >>> first = np.array([[[8.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]])
    >>> lanewise(first, np.array([0.125]), np.arange(8), 0.5).tolist()  # 8 (0.5 - 0.125) / 0.875 = 3.4
    [1, 2, 3]
    """
    at = len(scores) - 1
    here = live[sound(scores, live)]
    left = compute * scores.shape[1] - spent(scores, progress, live)
    ahead = progress[at:]
    shape = (1 + EARLY * (progress[0] / ahead) ** 2) * np.exp(-STEEPEST * trust(scores) * ahead)
    count = affordable(len(here), ahead, left, shape)
    # Rounded, so that candidates that stand equal stay equal whatever the order of the sums.
    order = np.argsort(standing(scores, progress, here).round(12), kind="stable")
    return np.sort(here[order[:count]])


def trust(scores: np.ndarray) -> float:
    """How far later rungs can be trusted to tell more, 0 to 1.

    It rises with the rank correlation of the last rung with the first, freed of the noise that paired repeats show.
    One repeat shows none: its rungs agree for the luck of that run as well, so it is trusted 0.

    >>> trust(np.ones((1, 8, 1))), trust(np.ones((1, 8, 3)))
    (0.0, 0.5)
    """
    if scores.shape[2] == 1:
        return 0.0
    found, candidates = agreement(scores)
    if not candidates:
        return UNKNOWN
    seen = float(np.clip((found - DISTRUST) / (TRUST - DISTRUST), 0, 1))
    return (PRIOR * UNKNOWN + candidates * seen) / (PRIOR + candidates)
