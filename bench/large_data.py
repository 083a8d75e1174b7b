"""What large data costs: memory that is no file's, and seconds, of loading, splitting, measuring and racing.

`python -m bench data`, or with `--megabytes 2000`. Each form of the data is taken by a process of its own. Peaks are of
RssAnon, sampled every millisecond, above what the process held when its libraries were imported, those of a race not
among them: a race of a few rows says what these take.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.rounds import machine, revision

FEATURES, FEW = 1_000, 2_000
FORMS = ("few rows", "archive", "compressed", "map", "pictures")


def main(options: list[str] | None = None) -> None:
    """Print a table; the files are made in the folder for temporary ones and removed."""
    parser = argparse.ArgumentParser(prog="python -m bench data")
    parser.add_argument("--megabytes", type=int, default=400)
    megabytes = parser.parse_args(options or []).megabytes
    print(f"large data, {megabytes:,} MB: {machine()}, {revision()}; one run each, peak MB and seconds")
    print(f"{'':12}" + "".join(f"{step:>18}" for step in ("load", "hold out", "2 repeats", "race")))
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), megabytes * 250)
        for form in FORMS:
            command = [sys.executable, "-m", "bench.large_data", form, folder]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{form:12}" + "".join(f"{peak:10,.0f} {seconds:5.1f} s" for peak, seconds in found))


def made(folder: Path, rows: int) -> None:
    """The files, of `rows` rows of 1,000 float32 features, or as many bytes of pictures."""
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((rows, FEATURES), dtype=np.float32), np.arange(rows) % 2
    np.save(folder / "y.npy", y)
    np.save(folder / "x.npy", x)
    np.savez(folder / "plain.npz", x=x, y=y)
    np.savez_compressed(folder / "compressed.npz", x=x.round(0), y=y)
    np.save(folder / "pictures.npy", draw.integers(0, 255, (rows, 25, 53, 3), dtype=np.uint8))


def opened(form: str, folder: Path) -> Any:
    """What `lw.load` is given."""
    if form in ("archive", "compressed"):
        return folder / f"{'plain' if form == 'archive' else form}.npz"
    name = "pictures" if form == "pictures" else "x"
    x, y = np.load(folder / f"{name}.npy", mmap_mode="r"), np.load(folder / "y.npy")
    return (x[:FEW].copy(), y[:FEW]) if form == "few rows" else (x, y)


def anonymous() -> float:
    """Megabytes of this process that belong to no file."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1000


def child(form: str, folder: Path) -> None:
    """Print [peak megabytes, seconds] of every step as JSON."""
    import lanewise as lw
    from lanewise.data import hold_out
    from lanewise.lanes.packs.repeat import Repeat

    lw.load(([[0.0], [1.0]], [0, 1]))
    before, peak, found = anonymous(), 0.0, []

    def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, anonymous())
            time.sleep(0.001)

    threading.Thread(target=watch, daemon=True).start()

    def step(work: Callable[[], Any]) -> Any:
        nonlocal peak
        peak, begun = anonymous(), time.perf_counter()
        result = work()
        found.append((max(peak, anonymous()) - before, time.perf_counter() - begun))
        return result

    source = step(lambda: lw.load(opened(form, folder)))
    held = step(lambda: hold_out(source, 0))
    step(lambda: [Repeat.draw(held, 0, index) for index in range(2)])
    task, sizes = lw.Task("mlp:16", source), {"candidates": 4, "repeats": 2, "epochs": 1}
    step(lambda: lw.race(task, "classic", **sizes, out=folder / f"run of {form}", progress=False))
    print(json.dumps(found))


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]))
