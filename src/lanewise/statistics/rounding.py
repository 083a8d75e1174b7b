"""Numbers rounded for people, in one place: what is printed never contradicts what was found.

- Equal numbers print equal: what differs by the error of a sum in another order is the same number.
- Rounding keeps the order, so an interval that is printed holds its printed estimate.
- `beside` shows the sign of every number: none but zero is printed as zero, so an interval that excludes zero is seen
  to do so.
"""

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal

CERTAIN = 12
"""Digits of a float64 that a sum in another order leaves as they are."""
MORE_DECIMALS = 3
"""Decimals that are added at most to show a sign; what is smaller still is written with an exponent."""
LARGEST = 1e15


def fixed(value: float, decimals: int) -> str:
    """`value` with so many decimals, halves away from zero; zero has no sign.

    >>> fixed(86.875, 2), fixed(86.87499999999999, 2), fixed(-0.001, 2), fixed(float("nan"), 1)
    ('86.88', '86.88', '0.00', 'nan')
    """
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= LARGEST:
        return f"{value:.{CERTAIN}g}"
    rounded = Decimal(f"{value:.{CERTAIN}g}").quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def exponential(value: float, decimals: int) -> str:
    """`value` with an exponent.

    >>> exponential(1.5e-7, 3)
    '1.500e-07'
    """
    return f"{float(f'{value:.{CERTAIN}g}') + 0.0:.{decimals}e}"


def beside(values: Sequence[float], decimals: int) -> list[str]:
    """Numbers that stand beside each other, with so many decimals or as many more as show the sign of each.

    >>> beside([0.524, 0.0032, 1.0449], 2), beside([0.5, 0.0, 1.0], 2), beside([0.5, -1e-9], 2)
    (['0.524', '0.003', '1.045'], ['0.50', '0.00', '1.00'], ['0.50', '-1e-09'])
    """
    found = decimals
    for value in values:
        if math.isfinite(value) and value and not float(fixed(value, decimals)):
            needed = -math.floor(math.log10(abs(value)))
            if needed <= decimals + MORE_DECIMALS:
                found = max(found, needed)
    words = [fixed(value, found) for value in values]
    hidden = [bool(value) and not float(word) for value, word in zip(values, words, strict=True)]
    return [exponential(value, 0) if small else word for value, small, word in zip(values, hidden, words, strict=True)]


def mean_of(values: Iterable[float]) -> float:
    """The mean, the same in whichever order the values come; NaN where one is.

    >>> mean_of([0.1, 0.2, 0.3]) == mean_of([0.3, 0.1, 0.2])
    True
    """
    given = [float(value) for value in values]
    if not all(map(math.isfinite, given)):
        return float("nan") if any(map(math.isnan, given)) else sum(given) / len(given)
    return math.fsum(given) / len(given)
