"""What the report says about the machine: the engine's choice, what the race cost, and how to repeat it."""

import os
import platform
import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.report.page.commands import race_command
from lanewise.report.page.parts import Code, Definitions, Heading, Part, Quiet, Section, Split, Ways, section
from lanewise.report.words import counted, time_words
from lanewise.study.race import Study


def costs(study: Study) -> Section | None:
    """Where the time of a race went, and the ways of training that were tried."""
    verdict = study.verdict
    return costs_of(study.engine, study.model_description, verdict.seconds, verdict.lane_steps, verdict.engine)


def costs_of(
    engine: Engine, model_description: str, seconds: dict[str, float], lane_steps: int, ways: dict[str, Any]
) -> Section | None:
    """Where the time went, by `seconds`, and the `ways` of training that were tried, by structure."""
    known = [
        ("training", seconds["train"]),
        ("compiling", seconds["compile"]),
        ("timing ways to run", seconds["trials"]),
    ]
    known.append(("everything else: evaluation, sampling, data", seconds["total"] - sum(value for _, value in known)))
    each = 1e6 * seconds["train"] / lane_steps if lane_steps else 0.0
    held = engine.holdout
    facts = [
        ("training steps", f"{lane_steps:,} over all lanes and repeats, {each:,.0f} microseconds each"),
        ("machine", f"{processor()}, {counted(os.cpu_count() or 1, 'hardware thread')}"),
        ("used", f"{engine.device}, {counted(engine.threads, 'thread')}"),
        ("model", model_description),
        ("data", f"{len(held.pool):,} examples to train and validate on, {len(held.test):,} to test on"),
        ("versions", versions()),
    ]
    plans = list(ways.values())
    heading = "ways of training" if len(plans) == 1 else "ways of training, for each structure"
    return section(
        "What it cost",
        _split([(name, value) for name, value in known if value > 0]),
        Definitions(facts),
        Heading(f"The engine compared {heading}", apart=True),
        *(part for plan in plans for part in _ways(plan)),
    )


def _split(parts: list[tuple[str, float]]) -> Split:
    """The parts of the total time as one bar, with a legend."""
    total = sum(value for _, value in parts) or 1.0
    colours = ("--c2", "--c6", "--c3", "--faint")
    return Split([
        (f"{name} {_seconds(value)}", 100 * value / total, colour)
        for (name, value), colour in zip(parts, colours, strict=False)
    ])  # fmt: skip


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else time_words(value)


def _ways(plan: dict[str, Any]) -> list[Part]:
    """The ways tried for one structure, with what a step of a lane took in each."""
    timings = {str(way): float(cost) for way, cost in plan.get("timings", {}).items()}
    longest = max(timings.values(), default=1.0)
    chosen = str(Plan.from_dict(plan, "engine"))
    rows = [
        (_plural(way), f"{cost:,.0f} µs", 100 * cost / longest, way == chosen)
        for way, cost in sorted(timings.items(), key=lambda item: item[1])
    ]
    why = str(plan.get("why") or "chosen in an earlier run")
    return [Ways(rows), Quiet(f"Chosen: {_plural(chosen)} ({why}). Times are for one step of one lane.")]


def _plural(text: str) -> str:
    """`2 worker(s)` as a person would write it."""
    return re.sub(r"(\d+) (\w+)\(s\)", lambda match: counted(int(match[1]), match[2]), text)


def reproduce(study: Study) -> Section | None:
    """The command that runs the same race, and what it takes to get the same verdict bit for bit."""
    command = race_command(study)
    fixed = f"Seed {study.settings.seed} fixes every split, initial weight, order and mask."
    if study.planner.budget is not None and study.planner.budget.timed:
        fixed += " How many candidates are drawn and confirmed is decided by the clock, so another run may differ."
    measured = (
        "Each run measures anew how to pack and compile lanes, which changes the rounding. For the same verdict bit "
        "for bit, on the same machine, give the engine's choices too:"
    )
    if command is None:
        only_python = "The model or the data came from Python, so running it again takes the same Python code."
        return section("Run it again", Quiet(f"{only_python} {fixed}"))
    exact = "" if study.folder is None else shlex.join(["--engine", str(study.folder.engine)])
    return section(
        "Run it again",
        Code(command),
        Quiet(f"{fixed} {measured if exact else ''}".strip()),
        Code(f"{command} {exact}") if exact else None,
    )


def processor() -> str:
    """The processor's name, if the system knows it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> str:
    """The versions that a result depends on."""
    return ", ".join(_versions())


def _versions() -> Iterable[str]:
    # Not installed but imported from a source tree, it has no version to tell.
    with suppress(PackageNotFoundError):
        yield f"Lanewise {version('lanewise')}"
    yield f"torch {torch.__version__}"
    yield f"Python {platform.python_version()}"
