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
from lanewise.report.escape import escape
from lanewise.report.page.commands import race_command
from lanewise.report.page.markup import code_block, definitions, quiet, section
from lanewise.report.words import counted, time_words
from lanewise.study.race import Study


def costs(study: Study) -> str:
    """Where the time of a race went, and the ways of training that were tried."""
    verdict = study.verdict
    return costs_of(study.engine, study.model_description, verdict.seconds, verdict.lane_steps, verdict.engine)


def costs_of(
    engine: Engine, model_description: str, seconds: dict[str, float], lane_steps: int, ways: dict[str, Any]
) -> str:
    """Where the time went, by `seconds`, and the `ways` of training that were tried, by structure."""
    known = [
        ("training", seconds["train"]),
        ("compiling", seconds["compile"]),
        ("finding the fastest way", seconds["trials"]),
    ]
    known.append(("all else: evaluation, sampling, data", seconds["total"] - sum(value for _, value in known)))
    each = 1e6 * seconds["train"] / lane_steps if lane_steps else 0.0
    held = engine.held
    facts = [
        ("training steps", f"{lane_steps:,} over all lanes and repeats, {each:,.0f} microseconds each"),
        ("machine", f"{processor()}, {counted(os.cpu_count() or 1, 'hardware thread')}"),
        ("used", f"{engine.device}, {counted(engine.threads, 'thread')}"),
        ("model", model_description),
        ("data", f"{len(held.pool):,} rows to train and validate on, {len(held.test):,} to test on"),
        ("versions", versions()),
    ]
    plans = list(ways.values())
    heading = "ways of training" if len(plans) == 1 else "ways of training, for each structure"
    return section(
        "What it cost",
        _split([(name, value) for name, value in known if value > 0]),
        definitions(facts),
        f"<h3 style='margin-top:36px'>The engine compared {heading}</h3>",
        *(_ways(plan) for plan in plans),
    )


def _split(parts: list[tuple[str, float]]) -> str:
    """The parts of the total time as one bar, with a legend."""
    total = sum(value for _, value in parts) or 1.0
    colours = ("--c2", "--c6", "--c3", "--faint")
    bar = "".join(
        f'<i style="--dot:var({colour});width:{100 * value / total:.2f}%"></i>'
        for (_, value), colour in zip(parts, colours, strict=False)
    )
    words = "".join(
        f'<span style="--dot:var({colour})"><span class="dot"></span>{escape(name)} {_seconds(value)}</span> '
        for (name, value), colour in zip(parts, colours, strict=False)
    )
    return f'<div class="split" aria-hidden="true">{bar}</div><p class="quiet spread">{words}</p>'


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else time_words(value)


def _ways(plan: dict[str, Any]) -> str:
    """The ways tried for one structure, with what a step of a lane took in each."""
    timings = {str(way): float(cost) for way, cost in plan.get("timings", {}).items()}
    longest = max(timings.values(), default=1.0)
    chosen = str(Plan.from_dict(plan, "engine"))
    rows = "".join(
        f"<tr{' class=chosen' if way == chosen else ''}><td>{escape(_plural(way))}</td><td class=n>{cost:,.0f} µs</td>"
        f'<td><i style="width:{100 * cost / longest:.1f}%"></i></td></tr>'
        for way, cost in sorted(timings.items(), key=lambda item: item[1])
    )
    why = str(plan.get("why") or "chosen in an earlier run")
    told = quiet(f"Chosen: {_plural(chosen)} ({why}). Times are for one step of one lane.")
    return f'<div class="scroll"><table class="ways"><tbody>{rows}</tbody></table></div>{told}'


def _plural(text: str) -> str:
    """`2 worker(s)` as a person would write it."""
    return re.sub(r"(\d+) (\w+)\(s\)", lambda match: counted(int(match[1]), match[2]), text)


def reproduce(study: Study) -> str:
    """The command that runs the same race, and what it takes to get the same verdict bit for bit."""
    command = race_command(study)
    fixed = f"Seed {study.settings.seed} fixes every split, initial weight, order and mask."
    if study.planner.budget is not None and study.planner.budget.timed:
        fixed += " How many candidates are drawn and confirmed is decided by the clock, so another run may differ."
    measured = (
        "How lanes are packed and compiled is measured anew in each run and changes the rounding. The same verdict bit "
        "for bit, on the same machine, takes the engine's choices too:"
    )
    if command is None:
        only_python = "The model or the data were given in Python, so the same race takes the same Python code."
        return section("Run it again", quiet(f"{only_python} {fixed}"))
    exact = "" if study.folder is None else shlex.join(["--engine", str(study.folder.engine)])
    return section(
        "Run it again",
        code_block(command),
        quiet(f"{fixed} {measured if exact else ''}"),
        code_block(f"{command} {exact}") if exact else "",
    )


def processor() -> str:
    """The processor's name, as far as the system tells."""
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
