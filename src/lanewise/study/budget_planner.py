"""How far a race has come and what is still to come: the size of generations and of the confirmation, the time left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lanewise.errors import InputError
from lanewise.lanes.packs.compile_cost import OVERHEAD_LANES
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan, Survivors
from lanewise.record.decisions import Decision, Decisions
from lanewise.sampling.sampler import generation_sizes
from lanewise.study.budget import (
    LEAST_CANDIDATES,
    Budget,
    Confirming,
    Estimate,
    Load,
    lanes_together,
    least_budget,
    on_workers,
    reserve,
    size_of_generation,
)
from lanewise.study.fitting import Size, fitting_size
from lanewise.study.pacing import name_of
from lanewise.study.rate import Rate
from lanewise.study.settings import RaceSettings

SIZE = "size"
"""What the decision on repeats and epochs is called on record."""
FIRST_RATE = 2.0
"""What the first generation of a race by time is taken to cost, beside its steps as they were timed: drawing,
evaluation, data and the slower start are in no step, and it is better small than too large."""
FINISH_SECONDS, SIMPLE_SECONDS = 5.0, 2.0
"""Kept for what follows the last step of a race with a record: simple models to compare with, verdict, report and
files; and for those models alone where there is no record."""
NEARLY_ENOUGH = 1.5
"""Times a budget in time that the smallest race may take and is run all the same."""


@dataclass
class BudgetPlanner:
    """The planner of one race.

    Attributes:
        elapsed: seconds since the race began, in all its processes. epochs: of a run. survivors: as `Estimate` has.
        step: repeats of the confirmation are a multiple of it. others: lanes confirmed beside the finalists.
        timed: called once, before the first generation of a race by time: (seconds of an epoch of one more lane in a
            block, how many lanes a call costs as much as beside its lanes).
        finish: seconds that follow the last step. sizes: candidates of every generation so far.
        fitted: whether the race has been made small enough for its budget, so that none is too small any more.
    """

    settings: RaceSettings
    engine: Engine
    elapsed: Callable[[], float]
    decisions: Decisions
    epochs: float
    survivors: Survivors
    timed: Callable[[], tuple[float, float]]
    step: int = 1
    others: int = 0
    finish: float = 0.0
    sizes: list[int] = field(default_factory=list)
    fitted: bool = False

    def __post_init__(self) -> None:
        self.budget = None if self.settings.budget is None else Budget.of(self.settings.budget)
        self._first: tuple[float, float] | None = None
        self._rate_of_steps = Rate()

    # What is decided

    def fit(
        self,
        longest: int,
        least_epochs: Callable[[], int],
        survivors_of: Callable[[int], Survivors],
        seconds_of_a_lane_epoch: Callable[[], float],
    ) -> Size:
        """How large the race can be: fewer repeats and shorter runs where the budget is enough for no more.

        On record before it takes effect, which is up to the caller.

        Args:
            longest: epochs of the longest run. least_epochs: the fewest that it may be brought down to.
            survivors_of: how candidates become fewer, by the epochs of the longest run.
            seconds_of_a_lane_epoch: as a few steps were timed; for budgets in time only.

        Raises:
            InputError: the budget is not enough for the smallest race there is.
        """
        assert self.budget is not None
        budget, whole, confirming = self.budget, Size(self.settings.repeats, longest), self._confirming()
        if name_of(0) in self.decisions.made and SIZE not in self.decisions.made:
            # Decided by a version that knew one size only.
            return whole

        def decided() -> Decision:
            rate: float = 1.0
            load: Load = lanes_together
            if budget.timed:
                # Side by side on all processors; what else a race by time takes is in FIRST_RATE.
                rate = seconds_of_a_lane_epoch()
                load = on_workers(Plan(False, False, 1, self.engine.threads, 1), 0.0)

            def cost(size: Size, candidates: int) -> float:
                epochs = self.epochs * size.epochs / longest
                estimate = Estimate(load, size.repeats, epochs, survivors_of(size.epochs))
                return rate * (estimate.generation(candidates) + confirming.cost(estimate, *confirming.least))

            smallest = Size(min(self.step, whole.repeats), least_epochs())
            before, least = self._spent() + self._finish(), cost(smallest, LEAST_CANDIDATES)
            if before + least > (NEARLY_ENOUGH if budget.timed else 1.0) * budget.amount:
                self._too_small(before + least, confirming.least[1], smallest)
            expected = FIRST_RATE if budget.timed else 1.0
            found = fitting_size(whole, self.step, smallest.epochs, cost, (budget.amount - before) / expected)
            return {"repeats": found.repeats, "epochs": found.epochs}

        made = self.decisions.take(SIZE, decided)
        return Size(made["repeats"], made["epochs"])

    def next_size(self) -> int:
        """The candidates of the next generation; 0 if there is none."""
        number = len(self.sizes)
        if self.budget is None:
            sizes = self._planned()
            size = sizes[number] if number < len(sizes) else 0
        else:
            size = self.decisions.take(name_of(number), lambda: self._decided_size(number))["candidates"]
        if size:
            self.sizes.append(size)
        return size

    def _decided_size(self, number: int) -> Decision:
        assert self.budget is not None
        # The rate first: timing steps settles how lanes run, by which parts are estimated.
        rate, estimate, confirming = self._rate(self.sizes), self._estimate(), self._confirming()
        if not number:
            # What is refused is refused for good, so by the steps as they were timed.
            at_best = rate / FIRST_RATE if self.budget.timed else rate
            least = self._spent() + self._finish() + least_budget(estimate, at_best, confirming)
            if least > self.budget.amount and not self.fitted:
                self._too_small(least, confirming.least[1], Size(self.settings.repeats, round(self.epochs)))
        left = self._left() - reserve(self.budget.amount, estimate, rate, confirming)
        size = size_of_generation(left, estimate, rate, number, self.settings.generations)
        if number:
            return {"candidates": size}
        # On record because it is measured: whoever goes on with the race estimates by the same.
        overhead = {"overhead_lanes": round(self._overhead())} if self.budget.timed else {}
        return {"candidates": size} | overhead

    def _too_small(self, least: float, repeats: int, size: Size) -> None:
        """Say that the smallest race, of `size`, costs `least`, more than the budget.

        Raises:
            InputError: unless it is nearly enough; getting ready takes longer on a busy machine, and is done by now.
        """
        assert self.budget is not None
        smallest = f"2 candidates in {size.repeats} repeat{'s' * (size.repeats > 1)} of {size.epochs} epoch"
        smallest += f"{'s' * (size.epochs > 1)}, confirmed in {repeats} new training runs"
        words = self.budget.words(least)
        if not self.budget.timed or least > NEARLY_ENOUGH * self.budget.amount:
            raise InputError(
                f"budget = {self.budget.text!r}: must be at least {words} here for the smallest race: {smallest}"
            )
        self.engine.note(
            f"the smallest race takes about {words} here, more than the budget of {self.budget.text}: {smallest}"
        )

    def confirmation(self, available: int) -> tuple[int, int]:
        """(finalists, repeats) of the confirmation, where `available` candidates finished the race."""
        confirming = replace(self._confirming(), finalists=min(available, self.most_finalists()))
        if self.budget is None:
            return confirming.finalists, confirming.repeats

        def decided() -> dict[str, int]:
            finalists, repeats = confirming.within(self._left(), self._estimate(), self._rate(self.sizes))
            return {"finalists": finalists, "repeats": repeats}

        made = self.decisions.take("confirmation", decided)
        return min(available, made["finalists"]), made["repeats"]

    def of_generations(self) -> str:
        """` of 3`, where it is known how many generations there will be."""
        return f" of {len(self._planned())}" if self._planned() else ""

    # What is still to come

    def candidates_to_come(self, size: int) -> float:
        """Candidates of the present generation, of `size`, and all later ones, as far as that is known."""
        if self.budget is None:
            return float(sum(self._planned()[len(self.sizes) - 1 :]))
        rate, estimate = self._rate(self.sizes[:-1]), self._estimate()
        left = self._left() - reserve(self.budget.amount, estimate, rate, self._confirming())
        return max(float(size), size * left / (rate * estimate.generation(size)))

    def runs_to_confirm(self) -> int:
        """Runs of the confirmation, at most."""
        return (self.most_finalists() + self.others) * self.settings.confirm

    def left_in_race(self, live: int, progress: float, finished: int | None = None) -> tuple[float, float | None]:
        """(share of the race done, seconds left, None if unknown) in the middle of a generation.

        Args:
            live: candidates still training. progress: of their run. finished: candidates of earlier generations that
                came to the end, where that is known; those of later ones are confirmed beside them.
        """
        estimate = self._by_time()
        rest = estimate.rest(live, progress)
        done = sum(map(estimate.generation, self.sizes)) - rest
        finalists = self.most_finalists()
        if finished is not None:
            share = self.survivors[-1][0]
            drawn = [*self.sizes[-1:], *self._planned()[len(self.sizes) :]]
            coming = sum(max(1, int(size * share)) for size in drawn)
            finalists = max(1, min(finalists, finished + coming))
        to_confirm = self._confirming().cost(estimate, finalists, self.settings.confirm)
        later = sum(map(estimate.generation, self._planned()[len(self.sizes) :])) + to_confirm
        rate, left = self._rate_of_steps.measured(self._busy(), done), None
        if self.budget is not None and self.budget.timed:
            left = max(self.budget.amount - self.elapsed(), (rate or 0.0) * rest + self.finish)
        elif rate is not None and self.budget is not None:
            spent = self.engine.costs.lane_epochs
            # By the lanes that the work done so far was of.
            left = rate * done * max(0.0, self.budget.amount / spent - 1) + self.finish if spent else None
        elif rate is not None:
            left = rate * (rest + later) + self.finish
        worked = done / (done + rest + later)
        if self.budget is not None and not self.budget.timed:
            worked = min(1.0, self.engine.costs.lane_epochs / self.budget.amount)
        return self._share(left, worked), left

    def left_in_confirmation(self, finalists: int, repeats: int, progress: float) -> tuple[float, float | None]:
        """(share done, seconds left) where `finalists` are at `progress` of their run in so many repeats."""
        estimate = self._by_time()
        whole = self._confirming().cost(estimate, finalists, repeats)
        rest = whole * (1 - progress)
        done = sum(map(estimate.generation, self.sizes)) + whole - rest
        rate = self._rate_of_steps.measured(self._busy(), done)
        # At the end nothing is left to be measured.
        known = rate is not None or not rest
        left = (rate or 0.0) * rest + self.finish if known else None
        return self._share(left, done / (done + rest)), left

    def _share(self, left: float | None, worked: float) -> float:
        """The share of the time that is over; of the work, `worked`, as long as it is not known what is left."""
        elapsed = self.elapsed()
        return worked if left is None else elapsed / (elapsed + left)

    # What it costs

    def _planned(self) -> Sequence[int]:
        """The sizes of all generations, where they are known from the start."""
        candidates = self.settings.candidates
        return [] if candidates is None else generation_sizes(candidates, self.settings.generations)

    def most_finalists(self) -> int:
        """How many candidates are confirmed, at most, by how many were drawn."""
        return self.settings.most_finalists_of(self.settings.candidates or sum(self.sizes) or None)

    def _confirming(self) -> Confirming:
        return Confirming(self.most_finalists(), self.settings.confirm, self.step, self.others)

    def _by_time(self) -> Estimate:
        plan = next(iter(self.engine.plans.values()), None)
        load = (
            lanes_together if plan is None else on_workers(plan, OVERHEAD_LANES if plan.compiled else self._overhead())
        )
        return Estimate(load, self.settings.repeats, self.epochs, self.survivors)

    def _estimate(self) -> Estimate:
        """What parts of the race cost, but for a rate, in the budget's unit."""
        assert self.budget is not None
        return self._by_time() if self.budget.timed else replace(self._by_time(), load=lanes_together)

    def _rate(self, sizes: Sequence[int]) -> float:
        """What a unit of the estimate costs, by the generations that are over, of `sizes`."""
        assert self.budget is not None
        expected = sum(map(self._estimate().generation, sizes))
        if not self.budget.timed:
            return self.engine.costs.lane_epochs / expected if expected else 1.0
        if expected:
            return self._busy() / expected
        return FIRST_RATE * self._measured()[0]

    def _measured(self) -> tuple[float, float]:
        self._first = self._first or self.timed()
        return self._first

    def _overhead(self) -> float:
        recorded = self.decisions.made.get(name_of(0), {}).get("overhead_lanes")
        if recorded is not None or self._first is None:
            return OVERHEAD_LANES if recorded is None else float(recorded)
        return self._first[1]

    def _busy(self) -> float:
        """Seconds spent on neither compiling nor trials, which are over after the first generation or so."""
        return max(1e-6, self.elapsed() - self.engine.costs.compile - self.engine.costs.trials)

    def _spent(self) -> float:
        assert self.budget is not None
        return self.elapsed() if self.budget.timed else self.engine.costs.lane_epochs

    def _finish(self) -> float:
        assert self.budget is not None
        return min(self.finish, self.budget.amount / 4) if self.budget.timed else 0.0

    def about_finish(self) -> list[str]:
        """That a budget in time is too short for what follows the last step, where it is."""
        if self.budget is None or not self.budget.timed or self._finish() >= self.finish:
            return []
        most = self.budget.words(4 * self.finish)
        return [
            f"budget = {self.budget.text!r}: may be exceeded, since simple models, verdict and report take up to "
            f"{self.finish:g} s after the last step; {most} or more leaves enough time for them"
        ]

    def _left(self) -> float:
        """What is left of the budget for training."""
        assert self.budget is not None
        return self.budget.amount - self._spent() - self._finish()
