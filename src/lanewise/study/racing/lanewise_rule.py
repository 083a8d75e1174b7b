"""The rule of Lanewise: few leave early on while rungs disagree, more and later where they agree."""

import numpy as np

from lanewise.study.racing.budget import affordable, spent
from lanewise.study.racing.evidence import agreement, standing
from lanewise.study.racing.rule import sound

EARLY = 0.5
STEEPEST = 3.0
"""Decline of the number kept, as exp(-decline x progress), where rungs agree. 0 is a single cut."""
UNKNOWN = 0.5
"""Trust in the rungs before two of them can be compared."""
DISTRUST, TRUST = 0.3, 0.8
"""Agreement of two rungs a doubling apart at which later rungs are not trusted at all, and wholly."""
PRIOR = 8
"""How many candidates the trust before any comparison is worth."""


def lanewise(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """As many stay as the budget can pay for, the more evenly over the run the less its rungs agree.

    The numbers kept from here on are planned as m exp(-d t) with t the progress, m such that the race spends what is
    left of its budget. d = 0 is one cut, now; a large d keeps many now and drops them later, by scores that are closer
    to the end. Which is better depends on whether later rungs tell more, and that is read from the field itself:
    d = STEEPEST x trust, and trust rises from 0 to 1 with the rank correlation of the last rung with that at half its
    progress, freed of the noise that paired repeats show. Where decay is still to come and rungs disagree, what was
    decided stands. Who stays is decided by the normal scores of all rungs seen, see `evidence.weights`.

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
    order = np.argsort(standing(scores, progress, here).round(12), kind="stable")
    return np.sort(here[order[:count]])


def trust(scores: np.ndarray) -> float:
    """How far later rungs can be trusted to tell more, 0 to 1.

    >>> trust(np.ones((1, 8, 1)))
    0.5
    """
    found, candidates = agreement(scores)
    if not candidates:
        return UNKNOWN
    seen = float(np.clip((found - DISTRUST) / (TRUST - DISTRUST), 0, 1))
    return (PRIOR * UNKNOWN + candidates * seen) / (PRIOR + candidates)
