"""A candidate as the record of its race has it, finished or not: its recipe, and how its lanes went."""

from dataclasses import dataclass

import numpy as np

from lanewise.base.plain_data import checked, several, undamaged
from lanewise.errors import InputError
from lanewise.recipe.file import load
from lanewise.recipe.recipe import Recipe
from lanewise.record import traces
from lanewise.record.candidate import Candidate
from lanewise.record.folder import RunFolder, read_json
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.verdict import Verdict


@dataclass(frozen=True)
class RecordedCandidate:
    """A candidate on record.

    Attributes:
        recipe: by which it was trained. last: where its lane of the repeat asked for was evaluated last, as (progress,
            validation loss, metric, not negated); None where it has no lane in that repeat.
    """

    recipe: Recipe
    last: tuple[float, float, float] | None = None


def candidate_of(folder: RunFolder, number: int, repeat: int, kind: ScoreKind) -> RecordedCandidate:
    """The candidate `number` of the race in `folder`, with its lane of `repeat`.

    Args:
        kind: of the metric's scores, which checkpoints hold turned.

    Raises:
        InputError: it is not on record, or the record is damaged.
    """
    if folder.finished:
        return _of_tables(folder, number, repeat)
    return _of_checkpoint(folder, number, repeat, kind)


def winner_of(folder: RunFolder) -> int:
    """The candidate that won the race in `folder`; `InputError` where it has not come to a verdict."""
    if not folder.finished:
        raise InputError(f"{folder.path}: is not finished, so there is no winner yet; name a candidate: --candidate 0")
    found = read_json(folder.verdict, str(folder.verdict)).get("winner_candidate")
    if not isinstance(found, int):
        raise InputError(f"{folder.verdict}: does not hold a verdict: winner_candidate = {found!r}")
    return found


def verdict_of(folder: RunFolder, where: str) -> Verdict:
    """The verdict of the finished race in `folder`, which `where` names in messages.

    Raises:
        InputError: there is none, or it is damaged.
    """
    data = read_json(folder.verdict, where)
    with undamaged(where):
        found = checked(Verdict.from_dict(data, where))
        # What has no words is damaged too: a race without finalists, say.
        found.sentences()
        return found


def _of_tables(folder: RunFolder, number: int, repeat: int) -> RecordedCandidate:
    rows = {row["candidate"]: row for row in traces.read(folder.candidates).to_pylist()}
    if number not in rows:
        raise _unknown(folder, number, len(rows))
    recipe, _ = load(rows[number]["recipe"], f"{folder.candidates}, candidate {number}")
    lane = list(traces.points(folder.traces, number, repeat))
    return RecordedCandidate(recipe, (lane[-1].progress, lane[-1].validation_loss, lane[-1].metric) if lane else None)


def _of_checkpoint(folder: RunFolder, number: int, repeat: int, kind: ScoreKind) -> RecordedCandidate:
    name, (_, data) = next(folder.checkpoints.whole(lambda note: None), ("", ({}, {"recipes": []})))
    with undamaged(f"{folder.path}: checkpoint {name}"):
        recipes = several("recipes", data["recipes"])
        if not 0 <= number < len(recipes):
            raise _unknown(folder, number, len(recipes))
        recipe, _ = load(recipes[number], f"{folder.path}, candidate {number}")
        every = [*data["candidates"], *data["confirmed"]]
        lanes = [Candidate.from_dict(one, recipe).curves.get(repeat) for one in every if one["number"] == number]
        # In the confirmation, if it came so far.
        points = next((lane[-1] for lane in reversed(lanes) if lane), None)
        last = None if points is None else (points[0], points[2], float(kind.turned(np.float64(points[3]))))
        return RecordedCandidate(recipe, last)


def _unknown(folder: RunFolder, number: int, count: int) -> InputError:
    there = f"must be an integer in [0, {count - 1}]" if count else "there is none on record yet"
    return InputError(f"candidate = {number}: {there}, in {folder.path}")
