"""Lanewise's own pruner: fewer stay the later it is; how many, and who, depends on how noisy the scores are."""

import numpy as np

from lanewise.racing.budget import affordable, spent
from lanewise.racing.evidence import agreement, means, outlook
from lanewise.racing.fixed import cut_rung
from lanewise.racing.pruner import sound

UNKNOWN = 0.75
"""The exponent before two rungs can be compared."""
LEAST, RANGE = 0.4, 0.8
"""The exponent where the order is all new, and what is added where it is the same. Chosen, as all numbers here, on the
families of curves of the tests and on recorded curves (bench/NOTES.md, Pruners)."""
SINGLE, SCARCE = 0.1, 0.5
"""The exponent with one repeat, and the same where one early cut would leave less than `THIN` of the candidates. Where
rungs mislead 0 is better than 0.1, elsewhere more is; 0.1 comes near the better of halving and one early cut on most of
six groups of curves (docs/racing.md)."""
THIN = 0.2
SPARED = 3
"""For so many places given by what candidates projected score now, one is given by the first rung."""


def lanewise(scores: np.ndarray, progress: np.ndarray, live: np.ndarray, compute: float) -> np.ndarray:
    """As many stay as the budget can pay for; how it is spread over the run is decided by the evidence.

    The numbers kept from here on are planned as m t^-q at progress t, with m such that the race spends what is left of
    its budget. q = 0 is one early cut; a large q keeps many now, to be judged by scores that are closer to the end.

    With one repeat, noise and real differences look alike, and that rungs agree does not say that the end will: on some
    curves with decaying schedules rungs at 1/8 and 1/4 agree, and the score at 1/2 tells less of the end than either.
    So most leave at once, at the rung of one early `cut`, with q = SINGLE, and the places go to the best of each rung
    so far in turn, the last one first: a rung that misleads costs no more than its own share of them. Where the budget
    is so small that the cut would leave next to nobody, more wait for the next rungs, q = SCARCE.

    With several repeats q = LEAST + RANGE r, with r the rank correlation between now and half the progress, freed of
    the noise that paired repeats show, see `evidence.agreement`: where rungs agree, the next is worth waiting for;
    where they do not, no later rung can be trusted much more than this one. Three of four places go to those whose
    score and its fall of late projected score most, see `evidence.outlook`; the fourth to the best at the first rung,
    since the middle of a run may mislead about what decay is still to bring.

    The plan is made anew at every rung, so budget that divergence or rounding left over is spent.

    >>> first = np.array([[[8.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]])
    >>> lanewise(first, np.array([0.125]), np.arange(8), 0.5).tolist()  # 8 (0.5 - 0.125) / 0.875 = 3.4
    [1, 2, 3]
    """
    at = len(scores) - 1
    here = live[sound(scores, live)]
    single = scores.shape[2] == 1
    if single and at < cut_rung(progress, compute):
        return np.sort(here)
    left = compute * scores.shape[1] - spent(scores, progress, live)
    ahead = progress[at:]
    steepness = one_repeat_exponent(progress, compute) if single else exponent(scores, progress)
    count = affordable(len(here), ahead, left, ahead**-steepness)
    if single:
        order = by_turns(scores, here)
    else:
        promised, first = ranks(outlook(scores, progress, here)), ranks(means(scores[0][here]))
        order = np.argsort(np.minimum(promised, SPARED * first + 0.5), kind="stable")
    return np.sort(here[order[:count]])


def exponent(scores: np.ndarray, progress: np.ndarray) -> float:
    """How steeply the numbers kept fall with progress where there are several repeats: q of m t^-q.

    >>> same = np.arange(8.0)[None, :, None] * np.ones((2, 1, 1))
    >>> exponent(same[:1], np.array([0.25, 0.5])), round(exponent(same, np.array([0.25, 0.5])), 2)
    (0.75, 1.2)
    """
    found = agreement(scores, progress)
    return UNKNOWN if np.isnan(found) else LEAST + RANGE * max(0.0, found)


def one_repeat_exponent(progress: np.ndarray, compute: float) -> float:
    """The same with one repeat.

    >>> rungs = np.array([0.125, 0.25, 0.5])  # one cut at 0.125 leaves (compute - 0.125) / 0.875
    >>> one_repeat_exponent(rungs, 1 / 3), one_repeat_exponent(rungs, 0.2)
    (0.1, 0.5)
    """
    at = progress[cut_rung(progress, compute)]
    return SINGLE if compute - at >= THIN * (1 - at) else SCARCE


def by_turns(scores: np.ndarray, here: np.ndarray) -> np.ndarray:
    """The places in `here` of its candidates: the best of each rung, the last one first, then the next of each.

    >>> by_turns(np.array([[[1.0], [2.0], [3.0]], [[3.0], [2.0], [1.0]]]), np.arange(3)).tolist()
    [2, 0, 1]
    """
    each = np.stack([ranks(means(rung[here])) for rung in scores[::-1]])
    turns = each + np.arange(len(each))[:, None] / len(each)
    return np.argsort(turns.min(axis=0), kind="stable")


def ranks(values: np.ndarray) -> np.ndarray:
    """1 for the lowest value and so on, NaN last; equal scores in the order given.

    >>> ranks(np.array([0.5, np.nan, 0.2, 0.5])).tolist()
    [2, 4, 1, 3]
    """
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") + 1
