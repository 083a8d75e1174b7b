"""Which states of a lane are averaged for a rung's score, and how far their mean tells what the lane will come to."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np

WINDOW = 1 / 16
"""Share of the run whose states are averaged."""
STATES = 4
"""How many they are. Two predicted the final ranking of digits nearly as well as all 20 (bench/NOTES.md, Races)."""
RUNG_ROWS = 512
"""Training rows that batch norm's statistics are taken of for a rung's score; 256 and all 1,078 of digits predicted the
same."""


def averaged_steps(rungs: Iterable[float], total_steps: int) -> dict[int, int]:
    """Step -> number, from 0, of the state that the lane then has among those averaged for the rung to come.

    Args:
        rungs: progress at each, in (0, 1). total_steps: of the run.

    >>> averaged_steps([0.25, 0.5], 1024)
    {208: 0, 224: 1, 240: 2, 256: 3, 464: 0, 480: 1, 496: 2, 512: 3}
    >>> averaged_steps([0.5], 32)
    {15: 0, 16: 1}
    """
    found: dict[int, int] = {}
    for rung in sorted(rungs):
        last = round(rung * total_steps)
        length = min(WINDOW * total_steps, last - max(found, default=0))
        ago = {int(length * back / STATES) for back in range(STATES)}
        steps = sorted(step for back in ago if (step := last - back) > max(found, default=0))
        found |= {step: number for number, step in enumerate(steps)}
    return found


def cut(spans: Iterable[tuple[int, int]], at: Collection[int]) -> Iterator[tuple[int, int]]:
    """`spans`, (first, end) each, cut into two at every step of `at` that lies within one.

    >>> list(cut([(0, 16), (16, 20)], [4, 16, 30]))
    [(0, 4), (4, 16), (16, 20)]
    """
    for first, end in spans:
        inside = [step for step in sorted(at) if first < step < end]
        yield from zip([first, *inside], [*inside, end], strict=True)


def share_to_fall(rates: np.ndarray, step: int) -> float:
    """Share of today's rate that is gone at the end of the run, in [0, 1]; of several rates, of that which falls most.

    Args:
        rates: at every step, [steps, rates]. step: steps done.

    >>> share_to_fall(np.array([[1.0], [0.8], [0.4], [0.2]]), 2), share_to_fall(np.ones((4, 1)), 2)
    (0.75, 0.0)
    """
    now, end = rates[max(0, step - 1)], rates[-1]
    fallen = 1 - np.divide(end, now, out=np.ones_like(end), where=now > 0)
    return float(np.clip(fallen.max(initial=0.0), 0.0, 1.0))
