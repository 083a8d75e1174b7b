"""A thousand candidates in one command: its memory, and the cost of a candidate-step beside that at 32 lanes."""

import json
import tempfile
from pathlib import Path

from bench.rounds import machine, revision, spread
from bench.whole_runs import Run, race

SIZES = (1000, 32)


def main(rounds: int = 3) -> None:
    """Measure and print the table."""
    print(f"Candidates in one race on digits, 3 repeats each\n{machine()}; {revision()}; n = {rounds} rounds")
    found: dict[int, list[Run]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        for seed in range(rounds):
            most = race(["--candidates", str(SIZES[0]), "--seed", str(seed)], folder)
            # The same program for 32 lanes: one repeat of one generation, which alone would be too short to compile.
            engine = folder / "engine.json"
            engine.write_text(json.dumps(most.verdict["engine"]), encoding="utf-8")
            alone = ["--repeats", "1", "--generations", "1", "--pruner", "none", "--engine", str(engine)]
            few = race(["--candidates", str(SIZES[1]), "--seed", str(seed), *alone], folder)
            for size, run in zip(SIZES, (most, few), strict=True):
                found[size].append(run)
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
