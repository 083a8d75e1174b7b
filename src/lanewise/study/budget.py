"""What a race may cost, and how that is split among search, race and confirmation. Pure functions, no clock."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from lanewise.errors import InputError
from lanewise.lanes.packs.compile_cost import OVERHEAD_LANES
from lanewise.lanes.packs.plan import Plan, Survivors

ALLOWED = 'epochs of all lanes together ("500ep") or a time ("90s", "10m", "1h30m")'
SECONDS = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
PIECE = re.compile(r"(\d+(?:\.\d+)?)(h|min|m|s)")
LEAST_CANDIDATES = 2
MOST_OF_A_GENERATION = 64
"""Candidates: with more at once the sampler learns later, and no lane gets cheaper."""
NEXT_TO_NOTHING = 1.25
"""Times the cost of the smallest generation that any may cost."""
MOST_TO_CONFIRM = 1 / 3
"""Share of the budget kept for the confirmation, at most; the default race of 48 candidates spends 38% on it."""

Load = Callable[[int, int], float]
"""(lanes of a repeat, repeats) -> what an epoch of them costs."""


@dataclass(frozen=True)
class Budget:
    """A budget: `amount` lane-epochs or seconds, as `unit` says; `text` is what the user wrote.

    >>> Budget.of("500ep"), Budget.of("1h30m").amount
    (Budget(amount=500.0, unit='epochs', text='500ep'), 5400.0)
    """

    amount: float
    unit: str
    text: str

    @classmethod
    def of(cls, text: object) -> "Budget":
        """The budget that `text` says; `InputError` where it is none."""
        if isinstance(text, str):
            epochs = re.fullmatch(r"(\d+(?:\.\d+)?)ep", text)
            pieces = PIECE.findall(text)
            if epochs and float(epochs[1]):
                return cls(float(epochs[1]), "epochs", text)
            if pieces and "".join(map("".join, pieces)) == text:
                seconds = sum(float(amount) * SECONDS[unit] for amount, unit in pieces)
                if seconds:
                    return cls(seconds, "seconds", text)
        hint = "; a number of candidates is given as candidates" if str(text).isdecimal() else ""
        raise InputError(f"budget = {text!r}: must be {ALLOWED}{hint}")

    @property
    def timed(self) -> bool:
        """Whether it is decided by the clock."""
        return self.unit == "seconds"

    def words(self, amount: float) -> str:
        """`amount` of its unit as `of` reads it, rounded up.

        >>> Budget.of("90s").words(11.2), Budget.of("9ep").words(42)
        ('12s', '42ep')
        """
        return f"{math.ceil(amount - 1e-9)}{'s' if self.timed else 'ep'}"


def lanes_together(lanes: int, repeats: int) -> float:
    """The load that a budget in epochs counts: every lane's epoch is one."""
    return float(lanes * repeats)


def on_workers(plan: Plan, overhead: float = OVERHEAD_LANES) -> Load:
    """The load that time follows: blocks of lanes take turns on the workers, and a compiled one is padded to its width.

    Args:
        overhead: a call costs as much as this many lanes beside its lanes; an eager one of a small model much more.

    >>> from lanewise.lanes.packs.plan import Plan
    >>> load = on_workers(Plan(packed=True, compiled=True, width=16, workers=2, threads=1))
    >>> load(16, 2), load(17, 2), load(6, 3)
    (17.0, 34.0, 34.0)
    """

    def load(lanes: int, repeats: int) -> float:
        width = plan.width if plan.compiled else max(plan.least_width, min(lanes, plan.width))
        blocks = repeats * math.ceil(lanes / plan.width)
        return math.ceil(blocks / plan.workers) * (width + overhead)

    return load


@dataclass(frozen=True)
class Estimate:
    """What the parts of a race cost, in the unit of `load`.

    Attributes:
        repeats: of each candidate in the race. epochs: of a run. survivors: how candidates become fewer, see
            `lanewise.lanes.packs.plan.Survivors`.
    """

    load: Load
    repeats: int
    epochs: float
    survivors: Survivors

    def generation(self, candidates: int) -> float:
        """A whole generation of `candidates`."""
        return self.rest(candidates, 0.0)

    def rest(self, live: int, progress: float) -> float:
        """What is left of a generation of which `live` candidates are in at `progress` of the run.

        At a rung, that is before it lets go of anybody.

        >>> Estimate(lanes_together, 3, 20, ((1.0, 0.25), (0.5, 0.25), (0.25, 0.5))).rest(4, 0.25)
        60.0
        """
        total, end, present = 0.0, 0.0, 0.0
        for share, length in self.survivors:
            begun, end = end, end + length
            if end < progress - 1e-9:
                continue
            present = present or share
            # Optimizers keep whole candidates.
            load = self.load(math.ceil(live * share / present - 1e-9), self.repeats)
            total += load * (end - max(begun, progress))
        return total * self.epochs if live else 0.0

    def confirmation(self, finalists: int, repeats: int) -> float:
        """The confirmation of `finalists` in `repeats` new training runs."""
        return self.load(finalists, repeats) * self.epochs


@dataclass(frozen=True)
class Confirming:
    """How much a confirmation may be.

    Attributes:
        finalists, repeats: at most. step: repeats are a multiple of it, the number of folds. others: lanes confirmed
            beside the finalists, a baseline.
    """

    finalists: int
    repeats: int
    step: int = 1
    others: int = 0

    @property
    def least(self) -> tuple[int, int]:
        """(finalists, repeats) of the smallest: two to compare, and two repeats to tell chance by."""
        return min(2, self.finalists), self.step * math.ceil(2 / self.step)

    def cost(self, estimate: Estimate, finalists: int, repeats: int) -> float:
        """What so many finalists cost, the others beside them."""
        return estimate.confirmation(finalists + self.others, repeats)

    def within(self, left: float, estimate: Estimate, rate: float) -> tuple[int, int]:
        """(finalists, repeats) for which `left` is enough, the least if it is enough for nothing.

        Repeats go first: three or more of each, as far as there are finalists to give up for them, because two runs
        tell little of how much runs differ.

        Args:
            rate: what a unit of the estimate costs, in that of `left`.
        """
        few, once = self.least
        enough = self.step * math.ceil(3 / self.step)
        for finalists in range(self.finalists, few - 1, -1):
            counts = range(self.repeats, once - 1, -self.step)
            fitting = [n for n in counts if rate * self.cost(estimate, finalists, n) <= left]
            if fitting and (fitting[0] >= min(enough, self.repeats) or finalists == few):
                return finalists, fitting[0]
        return few, once


def reserve(total: float, estimate: Estimate, rate: float, confirming: Confirming) -> float:
    """What is kept for the confirmation: all it can use, but no more than a third, and no less than the least."""
    most = rate * confirming.cost(estimate, confirming.finalists, confirming.repeats)
    return max(min(most, total * MOST_TO_CONFIRM), rate * confirming.cost(estimate, *confirming.least))


def size_of_generation(left: float, estimate: Estimate, rate: float, number: int, generations: int) -> int:
    """How many candidates generation `number`, from 0 on, gets of what is `left` for the race; 0 ends it.

    The generations planned share evenly what is left; after them come more while there is something left. Candidates
    that cost next to nothing beside the smallest generation, because calls are what takes time, come along.

    Args:
        rate: what a unit of the estimate costs, in that of `left`.

    >>> whole = Estimate(lanes_together, 3, 20, ((1.0, 1.0),))
    >>> size_of_generation(1800, whole, 1.0, 0, 3), size_of_generation(1200, whole, 1.0, 2, 3)
    (10, 20)
    >>> size_of_generation(100, whole, 1.0, 1, 3), size_of_generation(130, whole, 1.0, 1, 3)
    (0, 2)
    """

    def fitting(share: float) -> int:
        counts = range(MOST_OF_A_GENERATION, LEAST_CANDIDATES - 1, -1)
        return next((n for n in counts if rate * estimate.generation(n) <= share), 0)

    least = NEXT_TO_NOTHING * rate * estimate.generation(LEAST_CANDIDATES)
    share = max(left / max(1, generations - number), least)
    # There is always a first.
    return fitting(min(left, share) if number else share)


def least_budget(estimate: Estimate, rate: float, confirming: Confirming) -> float:
    """What the smallest race costs: two candidates, and the least confirmation."""
    return rate * (estimate.generation(LEAST_CANDIDATES) + confirming.cost(estimate, *confirming.least))
