"""Races killed at random instants and resumed until they finish, compared with races that were never killed.

`python -m tests.record.kills 24` does 24 kills and says how many races came out the same. Processes are forked from
this one, which has everything imported and has computed nothing, so that a kill costs a second instead of ten.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# Before torch is imported, which reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from lanewise import cli
from lanewise.record.checkpoint import Checkpoints
from lanewise.report.page import race as html
from lanewise.report.terminal import race as terminal
from tests.record.records import record

OPTIONS = {"candidates": 6, "repeats": 2, "epochs": 4, "generations": 2, "finalists": 3, "confirm": 2, "seed": 3}
ARGUMENTS = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]
MOST_KILLS_OF_A_RACE = 5
EARLY = 0.2
IMPORTED = (html, terminal)
"""Modules that a race imports late; each process would take a second for them."""
LONGEST = 300.0
"""Seconds after which a process that should end is taken to hang."""


def start(log: Path, *arguments: str) -> int:
    """The id of a new process that runs `lanewise ARGUMENTS`, with its standard error in `log`."""
    process = os.fork()
    if process:
        return process
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
        os.dup2(file.fileno(), sys.stdout.fileno())
    # A process begun in the background may have been told to ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.argv = ["lanewise", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(99)
    os._exit(0)


def ended(process: int, seconds: float) -> int | None:
    """The exit status of `process`, or None if it is still running after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def until_training(process: int, log: Path, said: int) -> int | None:
    """Wait until `process` has said how it trains, past the first `said` bytes of `log`; its exit status if it ends."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until and b"engine:" not in (log.read_bytes()[said:] if log.exists() else b""):
        if (status := ended(process, 0.01)) is not None:
            return status
    return None


def finish(log: Path, *arguments: str) -> None:
    """Run `lanewise ARGUMENTS` to its end, which must be a good one."""
    status = ended(start(log, *arguments), LONGEST)
    assert status == 0, f"exit status {status}: {log.read_text()[-2000:]}"


def stop(run: Path, log: Path, source: random.Random) -> None:
    """Go on with `run` and stop it as a person or a system does, which must give the command that goes on."""
    said = log.stat().st_size
    process = start(log, "resume", str(run))
    status = until_training(process, log, said)
    if status is None:
        os.kill(process, source.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
        status = ended(process, LONGEST)
    last = log.read_text().splitlines()[-1]
    # It may have been quicker than the signal.
    assert status == 0 or (status, last) == (
        130,
        f"lanewise: stopped; all up to the last checkpoint is kept; go on with: lanewise resume {run}",
    ), (
        status,
        last,
    )


def never_killed(run: Path, log: Path, whole: Path, first: list[str], budget: str | None) -> None:
    """The race of `run` in the folder `whole` without a kill, with the plans and the decisions that the former has."""
    if budget is None:
        finish(log, *first, "--out", str(whole), "--engine", str(run / "engine.json"))
        return
    # All that was decided by the clock is on record, so it is begun again from there, as after a kill at its start.
    whole.mkdir()
    for name in ("run.json", "space.yaml", "engine.json", "decisions.json"):
        shutil.copy(run / name, whole)
    finish(log, "resume", str(whole))


def killed_race(
    place: Path, source: random.Random, most: int, longest: float, budget: str | None = None
) -> tuple[list[str], list[str]]:
    """(where it was killed, differences) of one race in the folder `place`, killed at most `most` times, then compared.

    Args:
        longest: no kill comes later than so many seconds after its process has begun, or begun to train.
        budget: of the race, instead of a number of candidates.
    """
    place.mkdir()
    run, log = place / "run", place / "log.txt"
    killed: list[str] = []
    every = source.choice(["0", "0.1", "0.3"])
    asked = ARGUMENTS if budget is None else ["--budget", budget, *ARGUMENTS[2:]]
    first = ["race", *asked, "--out", str(run), "--checkpoint-every", every]
    while len(killed) < most:
        again = (run / "run.json").exists()
        said = log.stat().st_size if log.exists() else 0
        process = start(log, *(["resume", str(run)] if again else first))
        # Getting ready takes longer than the race: one kill in five comes in that time, the others after it.
        if source.random() < EARLY:
            status = ended(process, source.uniform(0.0, longest))
        else:
            status = until_training(process, log, said)
            status = ended(process, source.uniform(0.0, longest)) if status is None else status
        if status is not None:
            assert status == 0, f"exit status {status}: {log.read_text()[-2000:]}"
            break
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        there = Checkpoints(run / "checkpoints").paths()
        killed.append(there[0].name[:6] if there else "early")
    if (run / "run.json").exists() and not (run / "verdict.json").exists():
        stop(run, log, source)
    if not (run / "verdict.json").exists():
        finish(log, *(["resume", str(run)] if (run / "run.json").exists() else first))
    finish(log, "resume", str(run))
    never_killed(run, place / "other.txt", place / "whole", first[:-4], budget)
    found, expected = record(run), record(place / "whole")
    return killed, [name for name in expected if found[name] != expected[name]]


def main() -> int:
    """Kill races until there were enough kills; 0 if all came out the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds from a start to its kill, at most")
    parser.add_argument("--budget", help="races by time, such as 20s")
    given = parser.parse_args()
    source, kills, different = random.Random(given.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        while kills < given.kills:
            most = min(MOST_KILLS_OF_A_RACE, given.kills - kills)
            killed, differences = killed_race(Path(folder) / str(number), source, most, given.longest, given.budget)
            kills, number, different = kills + len(killed), number + 1, different + bool(differences)
            outcome = f"different: {differences}" if differences else "the same"
            print(f"race {number}, killed at the checkpoints {', '.join(killed)}: {outcome}", flush=True)
    print(f"{kills} kills in {number} races, {different} of them different from races never killed")
    return different


if __name__ == "__main__":
    sys.exit(main())
