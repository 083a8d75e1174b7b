"""What a race by time measures before it begins, and what it says about its rounds."""

from collections.abc import Iterator

from lanewise.lanes.packs.choosing import MOST_COMPILING
from lanewise.lanes.packs.compile_cost import OVERHEAD_LANES
from lanewise.lanes.packs.prepared import Costs, Prepared
from lanewise.sampling.sampler import generation_sizes
from lanewise.study.settings import RaceSettings

MOST_OVERHEAD = 1000
"""Lanes; timings scatter, and a wide block may by chance have been timed no slower than a narrow one, or faster."""
LONG_SECONDS = 0.5
"""Of a step of a whole block: longer ones are not timed once more."""
LEAST_ALLOWED = 0.03
"""Share of a budget in time that finding the way to run a structure may take, however many came before: next to nothing
where steps are short, and a pack may be many times as fast as a loop there."""


def name_of(generation: int) -> str:
    """What the decision on a generation is called on record."""
    return f"generation {generation + 1}"


def timed_steps(prepared: Prepared) -> tuple[float, float]:
    """(seconds of a step for one more lane in a block, lanes that a call costs beside its lanes), all workers busy."""
    plan = prepared.plan
    if str(plan) in plan.timings:
        known = plan.timings[str(plan)] * 1e-6 * plan.workers
        # A loop was timed as it runs; of a pack whose steps are long, calls are the smaller part.
        if not plan.packed or known * plan.width > LONG_SECONDS:
            return known, 0.0

    def seconds(width: int) -> float:
        """Of a call with a block of `width` lanes."""
        lane_step = prepared.trial.microseconds(prepared.train, width, prepared.workers) * 1e-6
        return lane_step * width * plan.workers

    if plan.width == plan.least_width:
        return seconds(plan.width) / (plan.width + OVERHEAD_LANES), OVERHEAD_LANES
    narrow, wide = seconds(plan.least_width), seconds(plan.width)
    lane = max((wide - narrow) / (plan.width - plan.least_width), wide / (plan.width + MOST_OVERHEAD))
    return lane, min(float(MOST_OVERHEAD), max(0.0, narrow / lane - plan.least_width))


def allowance(seconds: float, costs: Costs) -> float:
    """Seconds that trials and compiling may still take together in a race that has so many, by what they have cost."""
    return max(LEAST_ALLOWED * seconds, MOST_COMPILING * seconds - costs.compile - costs.trials)


def about_rounds(settings: RaceSettings, folds: int | None) -> Iterator[str]:
    """What a user should know of the generations and repeats before the race begins, in one line each."""
    if settings.candidates is not None:
        made = len(generation_sizes(settings.candidates, settings.generations))
        if made < settings.generations:
            asked = f"{settings.candidates} candidates are drawn in {made} generation{'s' * (made > 1)}"
            yield f"{asked}, not {settings.generations}: there are too few for more"
    if folds:
        rounds = settings.repeats // folds
        times = f", {rounds} times drawn anew" if rounds > 1 else ""
        again = settings.confirm // folds
        fresh = f"{again} times {folds} folds drawn anew" if again > 1 else f"{folds} folds drawn anew"
        yield f"repeats are {folds} folds{times}, the same for all candidates; finalists are confirmed on {fresh}"
