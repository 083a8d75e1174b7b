"""What a run is, as `run.json` holds it: all that it takes to go on with it, and to notice that something changed."""

import os
import platform
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np
import optuna
import torch

from lanewise.base.plain_data import undamaged
from lanewise.base.registry import origins
from lanewise.data import BUILT_IN, Source
from lanewise.data.arrays.fingerprint import fingerprint
from lanewise.data.arrays.nested import branches, leaves
from lanewise.data.rows.iterable_rows import IterableRows
from lanewise.data.tables.openml import PREFIX
from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.recipe.file import dump
from lanewise.recipe.recipe import Recipe
from lanewise.record.behaviour import behaviour, difference
from lanewise.record.folder import FORMAT
from lanewise.task.task import Task

SAMPLED, SAMPLED_ROWS = "sampled x", 8


def described(
    task: Task,
    space: Recipe,
    settings: Any,
    engine: Engine,
    plans: Mapping[str, Plan] | None,
    every: float,
    baseline: Recipe | None = None,
    drawing: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What goes into `run.json`.

    Args:
        settings: of the race, a dataclass. plans: those given by the user, or None where the engine measures.
        every: seconds between checkpoints. baseline: a recipe that is confirmed in any case.
        drawing: how candidates are drawn, as plain data; of a race.
    """
    source, model = task.source, task.model_name
    return {
        "lanewise": FORMAT,
        "data": source.name,
        **task.aims,
        "cache": task.cache,
        "data_built_in": source.name in BUILT_IN,
        "data_given": path_or_name(source),
        "data_options": source.asked,
        "data_checksums": data_checksums(source),
        "model": model,
        "model_built_in": "model" in task.names,
        "model_given": model if "model" in task.names or ":" in model else None,
        "model_checksums": model_checksums(task),
        "behaviour": behaviour(task),
        "settings": {item.name: getattr(settings, item.name) for item in fields(settings)},
        "space": dump(space, task.names),
        "baseline": None if baseline is None else dump(baseline),
        "imports": origins(
            [dump(space), "" if baseline is None else dump(baseline), *(drawing or {}).get("enqueue", ())],
            pruner=getattr(settings, "pruner", ""),
            metric=task.objective.metric.name,
        ),
        **({} if drawing is None else {"drawing": drawing}),
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(engine.device),
        "precision": engine.precision,
        "threads": engine.threads,
        "plans": None if plans is None else {key: plan.to_dict() for key, plan in plans.items()},
        "checkpoint_every": every,
        "versions": versions(),
    }


def versions() -> dict[str, Any]:
    """What the last bits of a result depend on beside seeds and plans."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "optuna": optuna.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def path_or_name(source: Source) -> str | None:
    """The built-in name or the whole path by which `source` can be loaded again from any folder, if it can be."""
    if source.asked is None:
        return None
    if source.name in BUILT_IN or source.name.startswith(PREFIX):
        return source.name
    try:
        return os.path.abspath(source.name) if os.path.exists(source.name) else None
    except ValueError:
        return None


def data_checksums(source: Source) -> dict[str, str]:
    """Shape, type and checksum of everything in `source`."""
    found: dict[str, str] = {}
    for name in ("x", "y", "x_test", "y_test"):
        if (given := getattr(source, name)) is not None:
            found |= fingerprint(zip(branches(name, given), leaves(given), strict=True))
    splitter = source.splitter
    parts = {f"split.{name}": getattr(splitter, name) for name in ("groups", "time", "test", "weights", "copies")}
    found |= fingerprint((name, torch.as_tensor(rows)) for name, rows in parts.items() if rows is not None)
    pairs = zip(("train", "valid") * len(splitter.splits), chain.from_iterable(splitter.splits), strict=True)
    found |= fingerprint((f"split.{name}[{at // 2}]", rows) for at, (name, rows) in enumerate(pairs))
    if splitter.folds is not None or not splitter.stratify:
        found["split"] = f"{splitter.folds or 'no'} folds, {'by class' if splitter.stratify else 'at random'}"
    found |= fingerprint((f"sampler.{part}", rows) for part, rows in source.sampled.items())
    if source.standardise is not None:
        found["standardise"] = str(source.standardise)
    # Rows that are read from elsewhere are not all read for this: number, targets and a few rows tell most changes.
    return found | {"rows": str(len(source))} | sampled(source)


def sampled(source: Source) -> dict[str, str]:
    """Shape, type and checksum of some rows that are read from elsewhere, if reading them again gives the same."""
    if source.rows.in_memory or not source.rows.replayable:
        return {}
    rows = len(source)
    # Rows that come in an order of their own are read up to the last one wanted.
    index = torch.arange(min(rows, SAMPLED_ROWS))
    if not isinstance(source.rows, IterableRows):
        index = index * rows // len(index)
    x, _ = source.rows.take(index)
    return fingerprint(zip(branches(SAMPLED, x), leaves(x), strict=True))


def model_checksums(task: Task) -> dict[str, str] | None:
    """Shapes, types and checksums of the initial weights for one seed, or None if those differ from call to call."""
    first, second = (fingerprint(task.new_model(0).state_dict().items()) for _ in range(2))
    return first if first == second else None


def check_unchanged(recorded: Mapping[str, Any], task: Task, where: str) -> None:
    """Raise `InputError` if `task` is another than that of the run whose `run.json` holds `recorded`."""
    for name, value in task.aims.items():
        if name in recorded and recorded[name] != value:
            raise InputError(
                f"{where}: {name} was {recorded[name]} when the run began and is {value}; give the same task in "
                "Python, by lanewise.resume(folder, task)"
            )
    for what, found in (("data", data_checksums(task.source)), ("model", model_checksums(task))):
        known = recorded[f"{what}_checksums"]
        if known is None or found is None:
            continue
        different = [name for name in {**known, **found} if known.get(name) != found.get(name)]
        if not any(name.startswith(SAMPLED) for name in known):
            # A record of before rows were sampled.
            different = [name for name in different if not name.startswith(SAMPLED)]
        if different:
            name = different[0]
            raise InputError(
                f"{where}: the {what} changed since the run began: {name} was {brief(known.get(name))}, "
                f"is {brief(found.get(name))}; give the same {what} with --{what}"
            )
    same_torch = recorded.get("versions", {}).get("torch") == torch.__version__
    with undamaged(f"{where}: run.json: behaviour"):
        other = difference(recorded.get("behaviour"), task, same_torch)
    if other is not None:
        raise InputError(
            f"{where}: the code of the model, the objective or the metric changed since the run began: {other}; "
            "go on with the code as it was, or begin a new run"
        )


def brief(text: str | None) -> str:
    """A fingerprint with the first digits of its checksum."""
    return "not there" if text is None else text[: text.rfind(" ") + 9]


def changes(recorded: Mapping[str, Any], engine: Engine) -> list[str]:
    """What is no longer as it was when the run began, so that the last bits may come out otherwise."""
    now = versions()
    return [
        f"{name} {recorded['versions'].get(name)} then, {value} now"
        for name, value in now.items()
        if recorded["versions"].get(name) != value
    ]
