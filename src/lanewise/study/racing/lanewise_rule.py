"""The rule of Lanewise: fewer stay the later it is, the more slowly the more the order still changes."""

import numpy as np

from lanewise.study.racing.budget import affordable, spent
from lanewise.study.racing.evidence import agreement, outlook
from lanewise.study.racing.rule import sound

UNKNOWN = 0.75
"""The exponent before two rungs can be compared."""
LEAST, RANGE = 0.4, 0.8
"""The exponent where the order is all new, and what is added where it is the same. Chosen, as all numbers here, on the
families of curves of the tests and on recorded curves (bench/NOTES.md, Rules)."""


def lanewise(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """As many stay as the budget can pay for; how it is spread over the run is decided by the evidence.

    The numbers kept from here on are planned as m t^-q at progress t, with m such that the race spends what is left of
    its budget. q = 0 is one early cut; a large q keeps many now, to be judged by scores that are closer to the end.
    q = LEAST + RANGE r, with r the rank correlation between now and half the progress, freed of the noise that paired
    repeats show, see `evidence.agreement`: where rungs agree, the next is worth waiting for; where they do not, no later
    rung can be trusted much more than this one. Who stays is decided by the score and by its fall of late, see
    `evidence.outlook`.

    The plan is made anew at every rung, so budget that divergence or rounding left over is spent.

    >>> first = np.array([[[8.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]])
    >>> lanewise(first, np.array([0.125]), np.arange(8), 0.5).tolist()  # 8 (0.5 - 0.125) / 0.875 = 3.4
    [1, 2, 3]
    """
    at = len(scores) - 1
    here = live[sound(scores, live)]
    left = compute * scores.shape[1] - spent(scores, progress, live)
    ahead = progress[at:]
    count = affordable(len(here), ahead, left, ahead ** -exponent(scores, progress))
    order = np.argsort(outlook(scores, progress, here), kind="stable")
    return np.sort(here[order[:count]])


def exponent(scores: np.ndarray, progress: np.ndarray) -> float:
    """How steeply the numbers kept fall with progress: q of m t^-q.

    >>> same = np.arange(8.0)[None, :, None] * np.ones((2, 1, 1))
    >>> exponent(same[:1], np.array([0.25, 0.5])), round(exponent(same, np.array([0.25, 0.5])), 2)
    (0.75, 1.2)
    """
    found = agreement(scores, progress)
    return UNKNOWN if np.isnan(found) else LEAST + RANGE * max(0.0, found)

