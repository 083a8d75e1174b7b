"""How long a race takes to its first step, and what share of two minutes goes into compiling and trials.

With torch's compile cache empty, and filled by the run before.
"""

import tempfile
from pathlib import Path

from bench.rounds import machine, revision, spread
from bench.whole_runs import Run, race

WORDS = ["--budget", "2m"]


def main(rounds: int = 3) -> None:
    """Measure and print the table."""
    print(f"Start of a race of two minutes on digits\n{machine()}; {revision()}; n = {rounds} rounds")
    found: dict[str, list[Run]] = {"compile cache empty": [], "compile cache filled": []}
    for seed in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for runs in found.values():
                runs.append(race([*WORDS, "--seed", str(seed)], Path(cache)))
    print(f"\n{'start':24}{'seconds to first step':>26}{'compiling and trials, %':>28}{'seconds in all':>26}")
    for name, runs in found.items():
        first, share = spread([run.first_step for run in runs]), spread([run.preparation for run in runs], 100)
        print(f"{name:24}{first:>26}{share:>28}{spread([run.seconds for run in runs]):>26}")
    print("median [least, most] over the rounds")


if __name__ == "__main__":
    main()
