"""How long the start takes: of Python's import, of the command line, and of a race to its first step.

Imports are told as ratios to `python -c "import torch"` of the same round, with compiled bytecode, as an installed
package has it. The race is measured with torch's compile cache empty, and filled by the run before.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.rounds import Contestant, machine, ratios, revision, spread, take_turns, timed
from bench.whole_runs import Run, race

WORDS = ["--budget", "2m"]


TORCH = ["-c", "import torch"]
STARTS = {
    "lanewise --help": (["-m", "lanewise", "--help"], 0.25),
    "import lanewise": (["-c", "import lanewise"], 0.15),
    "lw.race, beyond torch": (["-c", "import lanewise as lw; lw.race"], 0.3),
    "lanewise (three commands)": (["-m", "lanewise"], None),
    "lanewise list": (["-m", "lanewise", "list"], None),
    "first lw.Cosine()": (["-c", "import lanewise as lw; lw.Cosine()"], None),
}
"""What is started, and the ratio that the project allows it."""


def imports(rounds: int = 5) -> None:
    """Measure how long the starts take beside torch, and print the table."""
    print(f"Starts beside python -c 'import torch'\n{machine()}; {revision()}; n = {rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder

        def start(words: list[str]) -> tuple[float, float]:
            command = [sys.executable, *words]
            return timed(lambda: subprocess.run(command, check=True, capture_output=True, env=environment)), 1.0

        torch = Contestant("torch", partial(start, TORCH))
        others = {name: Contestant(name, partial(start, words)) for name, (words, _) in STARTS.items()}
        take_turns([torch, *others.values()], rounds)
    print(f"\n{'start':28}{'ratio to torch':>24}{'allowed':>10}")
    for name, (_, allowed) in STARTS.items():
        found = [ratio - 1 if "beyond" in name else ratio for ratio in ratios(others[name], torch)]
        print(f"{name:28}{spread(found, digits=3):>24}{'' if allowed is None else allowed:>10}")
    print("median [least, most] over the rounds\n")


def main() -> None:
    """Measure both and print the tables."""
    imports()
    first_steps()


def first_steps(rounds: int = 3) -> None:
    """Measure the races and print the table."""
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
