"""Places of a race that pad a block or stand idle: `python -m bench places`. Arithmetic on the plan: nothing is run."""

import math
from dataclasses import dataclass

from lanewise.lanes.packs.compile_cost import OVERHEAD_LANES, block_width
from lanewise.racing import DEFAULT, RUNGS, expected_survivors
from lanewise.study.settings import RaceSettings

WORKERS = 2


@dataclass
class Places:
    """Lane-steps of candidates and of padding, and time with and without blocks that wait for the last one."""

    used: float = 0.0
    padding: float = 0.0
    time: float = 0.0
    full: float = 0.0

    def add(self, lanes: int, repeats: int, steps: float, width: int) -> None:
        """A stage in which `lanes` lanes train for a share `steps` of the run in each of the repeats."""
        blocks = math.ceil(lanes / width)
        self.used += lanes * repeats * steps
        self.padding += (blocks * width - lanes) * repeats * steps
        self.time += math.ceil(blocks * repeats / WORKERS) * steps * (width + OVERHEAD_LANES)
        self.full += blocks * repeats / WORKERS * steps * (width + OVERHEAD_LANES)


def main() -> None:
    """Print, for some races, the share of padding and what overlapping generations could gain at most."""
    usual = RaceSettings()
    print(f"pruner {DEFAULT}, rungs {', '.join(f'{rung:.3g}' for rung in RUNGS)}, {WORKERS} workers, one structure")
    for drawn in (24, 48, 96):
        size = drawn // usual.generations
        survivors = expected_survivors(RUNGS, DEFAULT)
        width, race, confirmation = block_width(size, usual.repeats, WORKERS, survivors), Places(), Places()
        for share, length in survivors:
            lanes = max(1, round(share * size))
            for _ in range(usual.generations):
                race.add(lanes, usual.repeats, length, width)
        confirmation.add(usual.most_finalists_of(drawn) or 0, usual.confirm, 1.0, width)
        lanes = race.used + race.padding + confirmation.used + confirmation.padding
        print(
            f"{drawn} candidates in blocks of {width}: padding {race.padding / lanes:.1%} in the race, "
            f"{confirmation.padding / lanes:.1%} in the confirmation; generations that overlap gain at most "
            f"{(race.time - race.full) / (race.time + confirmation.time):.1%}"
        )
