"""A thousand candidates in one command: its memory, and the cost of a candidate-step beside that at 32 lanes."""

import tempfile
from pathlib import Path

from bench.rounds import machine, revision, spread
from bench.whole_runs import Run, race

SIZES = (1000, 32)


def main(rounds: int = 3) -> None:
    """Measure and print the table."""
    print(f"Candidates in one race on digits, 3 repeats each\n{machine()}; {revision()}; n = {rounds} rounds")
    found: dict[int, list[Run]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory() as cache:
        # Fills torch's compile cache.
        race(["--candidates", str(SIZES[-1])], Path(cache))
        for seed in range(rounds):
            for size in SIZES if seed % 2 == 0 else reversed(SIZES):
                # One repeat of one generation, so that 32 candidates are 32 lanes.
                alone = ["--repeats", "1", "--generations", "1"] if size == SIZES[-1] else []
                found[size].append(race(["--candidates", str(size), "--seed", str(seed), *alone], Path(cache)))
    print(f"\n{'candidates':>10}{'memory, GiB':>22}{'microseconds a candidate-step':>34}{'seconds in all':>26}")
    for size, runs in found.items():
        memory, step = (
            spread([r.peak_bytes / 2**30 for r in runs], digits=2),
            spread([r.step_seconds for r in runs], 1e6),
        )
        print(f"{size:>10}{memory:>22}{step:>34}{spread([run.seconds for run in runs]):>26}")
    most, few = (found[size] for size in SIZES)
    times = [a.step_seconds / b.step_seconds for a, b in zip(most, few, strict=True)]
    print(f"{SIZES[0]} candidates cost {spread(times, digits=2)} times as much a step as {SIZES[1]} lanes")
    print("median [least, most] over the rounds; ratios are taken within a round")


if __name__ == "__main__":
    main()
