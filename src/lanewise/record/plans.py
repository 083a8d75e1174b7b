"""How the lanes of a run were run, as `engine.json` holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lanewise.errors import InputError
from lanewise.lanes.packs.plan import Plan
from lanewise.record.folder import read_json


def read_plans(path: Path) -> dict[str, Plan]:
    """The plans of an `engine.json`."""
    data = read_json(path, f"engine {path}")
    if not data:
        raise InputError(f"engine {path}: must be the engine.json of an earlier run")
    return plans_of(data, f"engine {path}")


def plans_of(data: Mapping[str, Any], where: str) -> dict[str, Plan]:
    """The plans by structure that `RunFolder.write_plans` wrote."""
    return {key: Plan.from_dict(plan, where) for key, plan in data.items()}
