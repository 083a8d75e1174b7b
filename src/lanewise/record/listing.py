"""The runs in a folder, each in short: read from its files, which stay as they are."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lanewise.base.plain_data import number, undamaged, whole
from lanewise.errors import InputError
from lanewise.record.checkpoint import header
from lanewise.record.folder import FORMAT, LOCK, MARK, RunFolder, read_json
from lanewise.record.lock import is_held
from lanewise.statistics.score_kind import ScoreKind

FINISHED, RUNNING, STOPPED, DAMAGED, OTHER = "finished", "running", "stopped", "damaged", "another version"


@dataclass(frozen=True)
class Summary:
    """A run in short.

    Attributes:
        state: finished, running (a process is at it now), stopped (`lanewise resume` goes on), damaged or another
            version. done: share of the race at its last checkpoint, 0 to 1. problem: what is wrong with one that is
            damaged. candidates: drawn so far. winner: its number. score: of the winner on test rows, in the metric's
            own direction. fraction: whether that is a share. begun: when, in ISO 8601. asked: `race`, or the question
            asked of given recipes. found: its answer in short, on validation rows.
    """

    run: str
    state: str
    done: float = 0.0
    problem: str | None = None
    data: str | None = None
    model: str | None = None
    candidates: int | None = None
    winner: int | None = None
    metric: str | None = None
    score: float | None = None
    fraction: bool = True
    begun: str | None = None
    asked: str = "race"
    found: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


def runs_in(folder: Path) -> list[Summary]:
    """All runs in `folder`, or `folder` itself if it is one, the oldest first.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    try:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; must be a run, or a folder with runs in it, such as runs")
        paths = [folder] if (folder / MARK).exists() else [path for path in folder.iterdir() if (path / MARK).exists()]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from None
    return sorted(map(summary, paths), key=lambda one: (one.begun or "", one.run))


def summary(path: Path) -> Summary:
    """The run in `path` in short; one that cannot be read is said to be damaged."""
    run = str(path)
    try:
        known = read_json(path / MARK, MARK)
        if known.get("lanewise") != FORMAT:
            problem = f"has format {known.get('lanewise')!r}; this version of Lanewise reads format {FORMAT}"
            return Summary(run, OTHER, problem=problem, begun=_begun(known, path))
        about: dict[str, Any] = {name: str(known[name]) for name in ("data", "model") if known.get(name) is not None}
        begun = _begun(known, path)
        folder = RunFolder.reopened(path)
        about["asked"] = folder.asked
        if folder.finished and folder.asked != "race":
            data = read_json(folder.verdict, folder.verdict.name)
            with undamaged(folder.verdict.name):
                metric, found = str(data["metric"]), _answer(data)
            return Summary(run, FINISHED, 1.0, None, **about, metric=metric, begun=begun, found=found)
        if folder.finished:
            return Summary(run, FINISHED, 1.0, None, **about, **_verdict(folder), begun=begun)
        state = RUNNING if is_held(path / LOCK) else STOPPED
        newest = next(filter(None, map(header, folder.checkpoints.paths())), None) or {}
        with undamaged("checkpoint"):
            drawn = len(newest.get("candidates", [])) if folder.asked == "race" else None
            done = number("done", newest.get("done", 0.0), 0.0, 1.0)
        return Summary(run, state, done, None, **about, candidates=drawn, begun=begun)
    except (InputError, OSError) as error:
        return Summary(run, DAMAGED, problem=str(error))


def _verdict(folder: RunFolder) -> dict[str, Any]:
    """What a `Summary` says of the verdict of a finished race: read as plain data, for recipes would import torch."""
    where = folder.verdict.name
    data = read_json(folder.verdict, where)
    with undamaged(f"{where}: does not hold a verdict"):
        score = number("test.mean", data["test"]["mean"]) if data["test"]["mean"] is not None else math.nan
        return {
            "candidates": whole("candidates", data["candidates"], 0),
            "winner": whole("winner_candidate", data["winner_candidate"], 0),
            "metric": str(data["metric"]),
            "score": score if math.isfinite(score) else None,
            "fraction": bool(data["fraction"]),
        }


def _answer(data: Mapping[str, Any]) -> str:
    """The answer to a question about recipes, from its `verdict.json`, in short."""
    best = data["recipe"] if data["asked"] == "ablate" else data["recipes"][0]
    score = ScoreKind(data["greater_is_better"], data["fraction"]).words(best["score"]["mean"])
    name = {"sweep": f"{data.get('field')} = {best['name']}: ", "ablate": ""}.get(data["asked"], f"{best['name']}: ")
    return f"{name}validation {data['metric']} {score}"


def _begun(known: Mapping[str, Any], path: Path) -> str:
    """When the run began; by its first file where that is not on record."""
    if isinstance(known.get("begun"), str):
        with undamaged(f"{MARK}: begun"):
            return datetime.fromisoformat(known["begun"]).isoformat(timespec="seconds")
    return datetime.fromtimestamp((path / MARK).stat().st_mtime, UTC).isoformat(timespec="seconds")
