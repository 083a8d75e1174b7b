"""What lanes of one structure run with, and what making it cost."""

from dataclasses import dataclass

from lanewise.lanes.compile.program import Program
from lanewise.lanes.machine.workers import Workers
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.trials import Trial
from lanewise.lanes.step.step import LaneStep


@dataclass(frozen=True, eq=False)
class Prepared:
    """What lanes of one structure run with; `trial` holds what another plan could be tried on."""

    step: LaneStep
    plan: Plan
    train: Program
    evaluate: Program
    statistics: Program
    workers: Workers
    trial: Trial

    @property
    def least(self) -> int:
        """Lanes that a block must have, by padding, for a lane to be the same bit for bit in any."""
        packed = self.plan.packed and not self.plan.compiled
        return max(self.plan.least_width, self.step.least_lanes) if packed else self.plan.least_width


@dataclass
class Costs:
    """What a study has cost so far.

    Attributes:
        lane_steps: steps summed over lanes and repeats, confirmation included. lane_epochs: the same
            steps in epochs.
        train: wall seconds of exactly those steps, with batch gathering and update, without compiling and trials.
        compile: wall seconds spent compiling. trials: wall seconds spent on finding the fastest way.
    """

    lane_steps: int = 0
    train: float = 0.0
    compile: float = 0.0
    trials: float = 0.0
    lane_epochs: float = 0.0
