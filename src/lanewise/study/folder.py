"""The folder of a run: what is in it, and who may write there."""

import contextlib
import io
import itertools
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.errors import InputError
from lanewise.files import reason, write_whole
from lanewise.recipe import Recipe
from lanewise.recipe_file import dump

MARK = "run.json"
DEFAULT_PARENT = Path("runs")


class RunFolder:
    """A new run's folder; its file names stand here and nowhere else.

    Raises:
        InputError: the folder holds a run or other files already, or cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if (path / MARK).exists():
                remove = f"rm -r {shlex.quote(str(path))}"
                raise InputError(f"--out {path}: holds a run already; give another folder, or remove it with: {remove}")
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise InputError(f"--out {path}: must be a new or an empty folder")
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(f"--out {path}: cannot be written to: {reason(error)}") from None

    @property
    def database(self) -> Path:
        """The Optuna study."""
        return self.path / "study.db"

    @property
    def space(self) -> Path:
        """The space that was raced."""
        return self.path / "space.yaml"

    @property
    def engine(self) -> Path:
        """How the lanes were run; `--engine` takes it."""
        return self.path / "engine.json"

    @property
    def verdict(self) -> Path:
        """What was found."""
        return self.path / "verdict.json"

    @property
    def best(self) -> Path:
        """The winner's recipe."""
        return self.path / "best.yaml"

    @property
    def curves(self) -> Path:
        """The learning curves of all candidates."""
        return self.path / "curves.npz"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    def discard(self) -> None:
        """Remove what a run that never got going has made: its few files, its folder and new folders above that."""
        for name in (MARK, self.space.name, self.database.name):
            (self.path / name).unlink(missing_ok=True)
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def write_settings(self, settings: dict[str, Any], space: Recipe, task: dict[str, str]) -> None:
        """What was asked for: `run.json` and `space.yaml`."""
        write_whole(self.space, dump(space, task))
        self.write_json(MARK, settings)

    def write_json(self, name: str, data: dict[str, Any]) -> None:
        """A JSON file, whole or not at all."""
        write_whole(self.path / name, json.dumps(data, indent=2, allow_nan=True) + "\n")

    def write_curves(self, curves: dict[str, np.ndarray]) -> None:
        """The learning curves, columns of equal length, as `curves.npz`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **curves)  # type: ignore[arg-type]
        write_whole(self.curves, buffer.getvalue())


def fresh_path(parent: Path = DEFAULT_PARENT) -> Path:
    """The first of `race-001`, `race-002`, ... in `parent` that is not there yet."""
    return next(path for number in itertools.count(1) if not (path := parent / f"race-{number:03d}").exists())
