"""Whole runs of `lanewise race` in processes of their own: what is seen of them from outside."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRST_STEP = "engine: "
"""How the line begins that the engine prints last before lanes of a structure take their first step."""


@dataclass(frozen=True)
class Run:
    """One run of the command line.

    Attributes:
        seconds: wall time of the process. first_step: wall seconds until the first lane could take its first step.
        peak_bytes: the most memory its process held. verdict: what `--json` printed.
    """

    seconds: float
    first_step: float
    peak_bytes: int
    verdict: dict[str, Any]

    @property
    def step_seconds(self) -> float:
        """Wall seconds of a lane-step, batches and updates included."""
        return float(self.verdict["seconds"]["train"] / self.verdict["lane_steps"])

    @property
    def preparation(self) -> float:
        """Share of the run that went into compiling and trials."""
        spent = self.verdict["seconds"]
        return float((spent["compile"] + spent["trials"]) / self.seconds)


def race(words: list[str], cache: Path) -> Run:
    """Run `lanewise race` on the space `classic`, one program, with these options; torch compiles into `cache`."""
    with tempfile.TemporaryDirectory() as folder:
        out = ["--json", "--out", str(Path(folder) / "run")]
        command = [sys.executable, "-m", "lanewise", "race", "--space", "classic", *words, *out]
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache)}
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, messages = process.stdout, process.stderr
        assert output is not None
        assert messages is not None
        printed: list[str] = []
        reader = threading.Thread(target=lambda: printed.append(output.read()))
        reader.start()
        lines, first_step = [], float("nan")
        for line in messages:
            lines.append(line)
            if first_step != first_step and line.startswith(FIRST_STEP):
                first_step = time.perf_counter() - begun
        # Not process.wait(), which forgets what the process used.
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        reader.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit("".join(lines))
    # Linux counts kilobytes, macOS bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, first_step, used.ru_maxrss * scale, json.loads(printed[0]))
