"""The folder of a run: what is in it, and who may write there."""

import contextlib
import itertools
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from lanewise.base.files import reason, remove_partial, write_whole
from lanewise.base.plain_data import check_kinds, undamaged
from lanewise.errors import InputError
from lanewise.record.checkpoint import Checkpoints
from lanewise.record.decisions import Decisions
from lanewise.record.lock import Lock

MARK = "run.json"
LOCK = ".lanewise.lock"
FORMAT = 4
"""Of `run.json` and the folder around it. Folders of other formats are refused."""
DEFAULT_PARENT = Path("runs")
KINDS: dict[str, Any] = {
    "data": str,
    "data_built_in": bool,
    "data_given": str | None,
    "data_options": dict[str, Any] | None,
    "data_checksums": dict[str, str],
    "model": str,
    "model_built_in": bool,
    "model_given": str | None,
    "model_checksums": dict[str, str] | None,
    "settings": dict[str, Any],
    "begun": str,
    "device": str,
    "threads": int | None,
    "plans": dict[str, Any] | None,
    "checkpoint_every": float,
    "versions": dict[str, Any],
}
"""What `run.json` of every run holds, and of which kind."""


class Planned(Protocol):
    """A plan (`lanewise.lanes.packs.plan`), which `lanewise list` must not import, for that imports torch."""

    def to_dict(self) -> dict[str, Any]: ...


class RunFolder:
    """A new run's folder; its file names stand here and nowhere else.

    Attributes:
        resumes: whether it holds a run already, which is to go on; see `reopened`.
        begun: whether a run is recorded in it.

    Raises:
        InputError: the folder holds a run or other files already, or cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.resumes = path, False
        self.begun, self._made = False, list[Path]()
        try:
            if (path / MARK).exists():
                raise InputError(f"out = {path}: {self._refusal()}")
            if path.exists() and (not path.is_dir() or not all(is_leftover(there) for there in path.iterdir())):
                raise InputError(f"out = {path}: must be a new or an empty folder")
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(f"out = {path}: cannot be written to: {reason(error)}") from None

    @classmethod
    def reopened(cls, path: Path, command: str = "resume") -> "RunFolder":
        """The folder of a run that is to go on, or that is finished; nothing in it is changed yet.

        Args:
            command: that asks for it, named in what is raised.

        Raises:
            InputError: there is no run of this version.
        """
        folder = cls.__new__(cls)
        folder.path, folder.resumes, folder.begun, folder._made = path, True, True, []
        try:
            if not path.is_dir():
                raise InputError(
                    f"{command} {path}: no such folder; must be the folder of a run, such as runs/race-001"
                )
            if not (path / MARK).is_file():
                raise InputError(f"{command} {path}: holds no run: there is no {MARK} in it")
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{command} {path}: cannot be read: {reason(error)}") from None
        found = folder.settings().get("lanewise")
        if found != FORMAT:
            raise InputError(
                f"{command} {path}: was begun by another version of Lanewise, which wrote format {found!r}; "
                f"this one {command}s format {FORMAT}"
            )
        with undamaged(f"{command} {path}: {MARK}"):
            check_kinds(folder.settings(), KINDS)
        return folder

    @property
    def database(self) -> Path:
        """The Optuna study."""
        return self.path / "study.db"

    @property
    def space(self) -> Path:
        """The space that was raced."""
        return self.path / "space.yaml"

    @property
    def baseline(self) -> Path:
        """The recipe that is confirmed in any case; there where the user gave one."""
        return self.path / "baseline.yaml"

    @property
    def engine(self) -> Path:
        """How the lanes were run; `--engine` takes it."""
        return self.path / "engine.json"

    @property
    def decided(self) -> Path:
        """What was decided by the budget; there where the race has one."""
        return self.path / "decisions.json"

    @property
    def verdict(self) -> Path:
        """What was found; written last, so that a run is finished if it is there."""
        return self.path / "verdict.json"

    @property
    def best(self) -> Path:
        """The winner's recipe."""
        return self.path / "best.yaml"

    @property
    def traces(self) -> Path:
        """What every lane did; see `lanewise.record.traces`."""
        return self.path / "traces.parquet"

    @property
    def candidates(self) -> Path:
        """What became of every candidate, with its recipe; see `lanewise.record.traces`."""
        return self.path / "candidates.parquet"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Checkpoints:
        """What a killed run goes on from; gone when it is finished."""
        return Checkpoints(self.path / "checkpoints")

    @property
    def finished(self) -> bool:
        """Whether the run has come to its verdict."""
        return self.verdict.exists()

    def settings(self) -> dict[str, Any]:
        """What `run.json` holds."""
        return read_json(self.path / MARK, f"{self.path / MARK}")

    @property
    def asked(self) -> str:
        """What the run is: `race`, or the question asked of given recipes."""
        return str(self.settings().get("asked", "race"))

    def resume_command(self) -> str:
        """The command that goes on with this run; a model or data of the user's own must be given again."""
        known = self.settings()
        if not (known.get("model_given") and known.get("data_given")):
            return f"lanewise.resume({str(self.path)!r}, task) in Python, with the same task"
        words = ["lanewise", "resume", str(self.path)]
        for name in ("model", "data"):
            if not known.get(f"{name}_built_in"):
                words += [f"--{name}", str(known[f"{name}_given"])]
        imports = known.get("imports")
        origins = imports.values() if isinstance(imports, dict) else ()
        modules = {str(one.get("module")) for one in origins if isinstance(one, dict)}
        words += [word for module in sorted(modules) for word in ("--import", module)]
        drawing = known.get("drawing") or {}
        if drawing.get("storage") and not drawing.get("password"):
            words += ["--storage", str(drawing["storage"])]
        if drawing.get("password"):
            user, at, rest = str(drawing["storage"]).partition("@")
            words += ["--storage", f"{user}:PASSWORD@{rest}" if at else "URL"]
        return shlex.join(words)

    def _refusal(self) -> str:
        remove = f"rm -r {shlex.quote(str(self.path))}"
        if not self.finished:
            with contextlib.suppress(InputError):
                known = RunFolder.reopened(self.path)
                return f"holds an unfinished run; go on with: {known.resume_command()}; or remove it with: {remove}"
        return f"holds a run already; give another folder, or remove it with: {remove}"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out of the folder meanwhile.

        Raises:
            InputError: another one is in it, or has finished the run by now, or began one in a folder that was new.
        """
        lock = Lock(self.path / LOCK)
        self.checkpoints.check()
        if lock.path.is_symlink():
            raise InputError(f"{lock.path}: is a link; must be a file of the run's own; remove it")
        try:
            if not lock.take():
                raise InputError(f"{self.path}: this run is going on in another process; wait for it or stop it first")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to: {reason(error)}") from None
        try:
            if self.resumes and self.finished:
                raise InputError(f"{self.path}: this run has just been finished by another process")
            if not self.resumes and (self.path / MARK).exists():
                raise InputError(f"out = {self.path}: {self._refusal()}")
            remove_partial(self.path, self._names().__contains__)
            self.checkpoints.remove_partial()
            yield
        finally:
            lock.release()

    def _names(self) -> set[str]:
        """Of the files that are written here whole."""
        paths = (self.space, self.baseline, self.engine, self.decided, self.verdict, self.best, self.traces)
        return {MARK, *(path.name for path in (*paths, self.candidates, self.report))}

    def tidy(self) -> None:
        """Remove what a process that was killed after the run was finished had no time to remove."""
        with contextlib.suppress(OSError):
            lock = Lock(self.path / LOCK)
            if self.finished and lock.take():
                self.checkpoints.remove()
                lock.release()

    def discard(self) -> None:
        """Remove what a run that never got going has made: its few files, its folder and new folders above that."""
        if self.begun:
            logs = [f"{self.database.name}{end}" for end in ("-wal", "-shm")]
            paths = (self.space, self.baseline, self.engine, self.decided, self.database)
            for name in (MARK, *(path.name for path in paths), *logs):
                (self.path / name).unlink(missing_ok=True)
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def write_settings(self, settings: dict[str, Any], space: str) -> None:
        """What was asked for: `run.json`, which makes the folder a run, and `space.yaml`, whose text is `space`."""
        self.begun = True
        self.write_json(MARK, settings)
        self.write_space(space)

    def write_question(self, settings: dict[str, Any]) -> None:
        """What was asked of given recipes, which takes the place of a space: `run.json`, which makes it a run."""
        self.begun = True
        self.write_json(MARK, settings)

    def write_space(self, text: str) -> bool:
        """`space.yaml`, unless it is there already; whether what is there now is `text`."""
        if not self.space.exists():
            write_whole(self.space, text)
            return True
        with contextlib.suppress(OSError, ValueError):
            return self.space.read_text(encoding="utf-8") == text
        return False

    def write_json(self, name: str, data: dict[str, Any]) -> None:
        """A JSON file, whole or not at all."""
        write_whole(self.path / name, json.dumps(data, indent=2, allow_nan=True) + "\n")

    def decisions(self) -> Decisions:
        """The decisions on record, and a place for more."""
        known = read_json(self.decided, str(self.decided)) if self.resumes and self.decided.exists() else {}
        if not all(isinstance(made, dict) and all(type(n) is int for n in made.values()) for made in known.values()):
            raise InputError(f"{self.decided}: must hold whole numbers by decision, as a race writes it")
        return Decisions(known, lambda made: self.write_json(self.decided.name, made))

    def write_plans(self, plans: Mapping[str, Planned]) -> None:
        """`engine.json`: the plans by structure."""
        self.write_json(self.engine.name, {key: plan.to_dict() for key, plan in plans.items()})


def is_leftover(path: Path) -> bool:
    """Whether `path` is what a process leaves that was killed before there was a run: its lock, a piece of a file."""
    return path.name == LOCK or (path.name.startswith(f".{MARK}.") and path.suffix == ".partial")


def read_json(path: Path, where: str) -> dict[str, Any]:
    """The JSON object in the file `path`, which `where` names in error messages."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{where}: no such file; must be the {path.name} of an earlier run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be a JSON object, as a run writes it")
    return data


def fresh_path(parent: Path = DEFAULT_PARENT, what: str = "race") -> Path:
    """The first of `race-001`, `race-002`, ... in `parent` that is not there yet; `what` is run in it."""
    return next(path for number in itertools.count(1) if not (path := parent / f"{what}-{number:03d}").exists())
