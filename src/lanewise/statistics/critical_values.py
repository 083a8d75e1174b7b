"""How far out a comparison must lie to count, where several are made at once. Pure numbers.

All give the value c with P(every |T| < c) = the confidence, for comparisons T = Z / s, whose errors Z are normal and
share one estimate s of their spread with `df` degrees of freedom.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import scipy

CONFIDENCE = 0.95
STEPS_PER_DECADE = 40
MOST_DF = 1e4
NODES = 400
COCHRAN = 1.25
"""Power of the weight in `df_of_sum`."""
WIDEST = 40.0
"""In standard deviations: beyond this no normal error reaches."""


def all_pairs(candidates: int, df: float, confidence: float = CONFIDENCE) -> float:
    """For the differences of every two of `candidates` means: Tukey's studentised range, divided by sqrt(2).

    Exact where all differences have one variance, and no less than the confidence where they differ (Hayter, "A proof
    of the conjecture that the Tukey-Kramer procedure is conservative", 1984). Two candidates: Student's t.

    Args:
        candidates: at least 2. df: degrees of freedom, above 0; taken as at least 1.

    >>> round(all_pairs(3, 10.0), 2), round(all_pairs(2, 1e9), 2)
    (2.74, 1.96)
    """
    return _critical("pairs", candidates, 0.0, _grid(df), confidence)


def one_to_many(comparisons: int, df: float, correlation: float = 0.5, confidence: float = CONFIDENCE) -> float:
    """For the differences of several candidates to one reference that was named beforehand: Dunnett's, two-sided.

    Args:
        comparisons: at least 1. df: degrees of freedom, above 0; taken as at least 1.
        correlation: between any two of the differences, the least if they vary, in [0, 1): 0.5 where all candidates
            vary alike.

    Source: Dunnett, "A multiple comparison procedure for comparing several treatments with a control", 1955.

    >>> round(one_to_many(5, 10.0), 2)
    2.99
    """
    # Rounded down: less correlation needs wider intervals.
    least = float(np.floor(20 * min(max(correlation, 0.0), 0.95)) / 20)
    return _critical("one", comparisons, least, _grid(df), confidence)


def each_alone(comparisons: int, df: float, confidence: float = CONFIDENCE) -> float:
    """For comparisons of which each has an estimate of spread of its own: Bonferroni's bound, whatever they are.

    >>> round(each_alone(1, 10.0), 2), round(each_alone(6, 7.0), 2)
    (2.23, 3.64)
    """
    return float(scipy.stats.t.ppf(1 - (1 - confidence) / (2 * comparisons), df))


def df_of_sum(first: float, first_df: float, second: float, second_df: float) -> float:
    """Degrees of freedom for a squared error that is a sum of two estimates, of which the first may be known badly.

    That Student's t at 95% is the mean of those of both estimates, (w t1 + (1 - w) t2), w = (first / sum)**1.25. The
    usual degrees of freedom after Welch and Satterthwaite declares up to 7.8% where `first` has 2 degrees of freedom
    and is nearly all: an estimate that came out small by chance then looks well known, too. Cochran's mean of both t (w
    without the power) keeps to 5.03%, but falls to 2.9% where both are alike; with the power it is 3.5% to 5.4%, and
    the nearer to 5% the more df there is (by integration, see the tests).

    Args:
        first, second: at least 0, their sum above 0. first_df, second_df: above 0, taken as at least 1.

    Source: Cochran, "Approximate significance levels of the Behrens-Fisher test", 1964.

    >>> round(df_of_sum(1.0, 2.0, 0.0, 50.0), 6), round(df_of_sum(1.0, 2.0, 1.0, 1e4), 2)
    (2.0, 3.49)
    """
    weight = (first / (first + second)) ** COCHRAN
    dfs, quantiles = _student()
    bounds = np.interp([first_df, second_df], dfs, quantiles)
    # Quantiles fall where dfs rise.
    return float(np.interp(-(weight * bounds[0] + (1 - weight) * bounds[1]), -quantiles, dfs))


@lru_cache(maxsize=1)
def _student() -> tuple[np.ndarray, np.ndarray]:
    """(dfs, 97.5% quantiles of Student's t)."""
    dfs = np.geomspace(1.0, MOST_DF, 4001)
    return dfs, np.asarray(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, dfs))


def _grid(df: float) -> float:
    """`df` rounded down by 6% at most, so that few values are ever worked out."""
    kept = min(max(df, 1.0), MOST_DF)
    # The small addition lets 10 stay 10.
    return float(10 ** (np.floor(STEPS_PER_DECADE * np.log10(kept) + 1e-9) / STEPS_PER_DECADE))


@lru_cache(maxsize=1)
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Gauss and Legendre's, for integrals from -1 to 1."""
    return np.polynomial.legendre.leggauss(NODES)


@lru_cache(maxsize=4096)
def _critical(kind: str, count: int, correlation: float, df: float, confidence: float) -> float:
    nodes, weights = _nodes()
    spreads = np.sqrt(scipy.stats.chi2.ppf((nodes + 1) / 2, df) / df)
    width, share = _known_spread(kind, count, correlation)

    def missed(bound: float) -> float:
        return float(weights @ np.interp(bound * spreads, width, share) / 2 - confidence)

    return float(scipy.optimize.brentq(missed, 0.1, 1e5, xtol=1e-6))


@lru_cache(maxsize=256)
def _known_spread(kind: str, count: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """(bounds, P(every |Z| < bound)) where the spread is known."""
    nodes, weights = _nodes()
    z, density = 9 * nodes, 9 * weights * scipy.stats.norm.pdf(9 * nodes)
    width = np.concatenate([np.linspace(0, 8, 1601), [WIDEST]])
    inside: Callable[[float], np.ndarray]
    if kind == "pairs":
        # The greatest of the candidates at z, all others no more than the range below it.
        power, factor = count - 1, count

        def inside(bound: float) -> np.ndarray:
            return np.asarray(scipy.special.ndtr(z) - scipy.special.ndtr(z - np.sqrt(2) * bound))
    else:
        power, factor = count, 1
        common, own = np.sqrt(correlation) * z, np.sqrt(1 - correlation)

        def inside(bound: float) -> np.ndarray:
            return np.asarray(scipy.special.ndtr((bound - common) / own) - scipy.special.ndtr((-bound - common) / own))

    share = np.array([factor * (density @ inside(bound) ** power) for bound in width])
    return width, np.minimum(share, 1.0)
