"""A race in one call."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lanewise.errors import InputError
from lanewise.lanes.plan import Plan
from lanewise.recipe import Recipe
from lanewise.recipe_file import read
from lanewise.spaces import SPACES
from lanewise.study.folder import RunFolder
from lanewise.study.progress import Observer
from lanewise.study.race import RaceSettings, Study, with_overrides
from lanewise.study.verdict import Verdict
from lanewise.task import Task


class Race:
    """A finished race.

    Attributes:
        study: all candidates with their curves, the engine and the settings.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    @property
    def winner(self) -> Recipe:
        """The best recipe."""
        return self.study.verdict.winner

    @property
    def verdict(self) -> Verdict:
        """What was found, how sure it is, and what it cost."""
        return self.study.verdict

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report, one HTML file that needs nothing else, and return its path."""
        # Plotly takes a second to import, and only reports need it.
        from lanewise.report import html

        html.write(self.study, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        return f"Race({' '.join(self.verdict.sentences())!r})"


def race(
    task: Task,
    space: Recipe | str | os.PathLike[str] = "classic",
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    engine: str | os.PathLike[str] | None = None,
    observer: Observer | None = None,
    **settings: Any,
) -> Race:
    """Find the recipe of `space` that suits `task` best.

    Args:
        task: model, data, objective.
        space: a recipe with ranges, the name of a built-in space, or the path of a YAML file.
        epochs, batch_size: replace the space's own.
        out: a new folder for the record and the report; nothing is written without it.
        device: a torch device. threads: processors to use, all by default.
        engine: an `engine.json` of an earlier run, whose choices are taken instead of measuring anew.
        observer: told how it goes; by default nobody is.
        **settings: fields of `lanewise.study.race.RaceSettings`: candidates, repeats, generations, rule, finalists,
            confirm, seed.

    Raises:
        InputError: anything that cannot be raced; nothing has been written then.
    """
    unknown = sorted(set(settings) - set(RaceSettings.__dataclass_fields__))
    if unknown:
        allowed = ", ".join(RaceSettings.__dataclass_fields__)
        raise InputError(f"race: unknown setting {unknown[0]!r}; allowed: {allowed}")
    chosen = with_overrides(find_space(space), epochs, batch_size)
    plans = read_plans(Path(engine)) if engine is not None else None
    folder = RunFolder(Path(out)) if out is not None else None
    study = None
    try:
        study = Study(
            task,
            chosen,
            RaceSettings(**settings),
            folder=folder,
            observer=observer,
            device=device,
            threads=threads,
            plans=plans,
        )
        study.run()
    except Exception:
        if folder and (study is None or not study.engine.costs.lane_steps):
            folder.discard()
        raise
    finished = Race(study)
    if folder:
        finished.report(folder.report)
    return finished


def find_space(space: Recipe | str | os.PathLike[str]) -> Recipe:
    """The space given, built in under that name, or read from that file."""
    if isinstance(space, Recipe):
        return space
    name = os.fspath(space)
    if name in SPACES:
        return SPACES[name]()
    if not is_there(Path(name)):
        raise InputError(f"space {name!r}: no such space or file; must be {', '.join(SPACES)} or a YAML file")
    return read(name)[0]


def is_there(path: Path) -> bool:
    """Whether there is such a file; a name too long for the file system is none."""
    try:
        return path.exists()
    except OSError:
        return False


def read_plans(path: Path) -> dict[str, Plan]:
    """The plans of an `engine.json`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"engine {path}: no such file; must be the engine.json of an earlier run") from None
    except (OSError, ValueError) as error:
        raise InputError(f"engine {path}: cannot be read: {error}") from None
    if not isinstance(data, Mapping) or not data:
        raise InputError(f"engine {path}: must be the engine.json of an earlier run")
    return {str(key): Plan.from_dict(plan, f"engine {path}") for key, plan in data.items()}
