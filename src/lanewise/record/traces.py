"""What every lane did, and what became of every candidate, as two Parquet tables.

`traces.parquet` has a row for each point of a learning curve: `phase` ("race" or "confirmation"; of a comparison, an
ablation or a sweep what its lanes were trained for), `candidate`, `repeat`, `progress` (fraction of the run),
`training_loss`, `validation_loss` and `metric`, not negated.
`candidates.parquet` has a row for each candidate: `candidate`, `generation` (null for a baseline), `name` (of a
recipe of the portfolio, else null), `recipe` (the text of its file), `stopped_at` (null if it stayed), `diverged` (in
how many repeats of the race), `loss` and `score`, the mean over the repeats when it was last evaluated.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lanewise.base.files import write_whole
from lanewise.errors import InputError, one_line
from lanewise.recipe.file import dump
from lanewise.record.candidate import Candidate
from lanewise.statistics.score_kind import ScoreKind

Table: TypeAlias = Any
"""A `pyarrow.Table`. pyarrow takes a tenth of a second to import, and only who reads or writes a record needs it."""
Columns: TypeAlias = tuple[tuple[str, str], ...]
"""(name, type in pyarrow's words) of each."""
CATEGORY = "category"
RACE, CONFIRMATION = "race", "confirmation"
POINT = ("progress", "training_loss", "validation_loss", "metric")
TRACES: Columns = (
    ("phase", CATEGORY),
    ("candidate", "int32"),
    ("repeat", "int32"),
    *((name, "float64") for name in POINT),
)
CANDIDATES: Columns = (
    ("candidate", "int32"),
    ("generation", "int32"),
    ("name", "string"),
    ("recipe", "string"),
    ("stopped_at", "float64"),
    ("diverged", "int32"),
    ("loss", "float64"),
    ("score", "float64"),
)
RECIPES: Columns = (
    ("phase", "string"),
    ("candidate", "int32"),
    ("name", "string"),
    ("recipe", "string"),
    ("diverged", "int32"),
    ("loss", "float64"),
    ("score", "float64"),
)


def traces(phases: Iterable[tuple[str, Sequence[Candidate]]], kind: ScoreKind) -> Table:
    """The table of all learning curves.

    Args:
        phases: (name, candidates trained in it), in order. kind: of the metric's scores.
    """
    rows = [
        (phase, c.number, repeat, *point)
        for phase, pool in phases
        for c in pool
        for repeat, points in c.curves.items()
        for point in points
    ]
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(TRACES)
    columns[-1] = kind.turned(np.array(columns[-1], dtype=np.float64))
    return table(columns, TRACES)


def table(columns: Iterable[Any], kinds: Columns) -> Table:
    """The table of `columns`, whose names and types are `kinds`."""
    import pyarrow

    made = []
    for column, (_, kind) in zip(columns, kinds, strict=True):
        array = pyarrow.array(whole(column), "string" if kind == CATEGORY else kind)
        made.append(array.dictionary_encode() if kind == CATEGORY else array)
    return pyarrow.table(made, [name for name, _ in kinds])


def whole(column: Any) -> Any:
    """Numbers with all NaN alike: the sign of one differs by the processor, and is not kept by a checkpoint."""
    if not len(column) or not all(isinstance(entry, float) for entry in column):
        return list(column)
    numbers = np.array(column, dtype=np.float64)
    numbers[np.isnan(numbers)] = np.nan
    return numbers


def table_of(candidates: Sequence[Candidate], confirmed: Sequence[Candidate], kind: ScoreKind) -> Table:
    """The table of all candidates of a race, the baseline last.

    Args:
        candidates: all that were drawn. confirmed: those of the confirmation. kind: of the metric's scores.
    """
    rows: list[tuple[Any, ...]] = [
        (
            c.number,
            c.generation,
            c.name or None,
            dump(c.recipe),
            c.stopped_at,
            len(c.diverged),
            c.loss,
            float(kind.turned(c.score)),
        )
        for c in candidates
    ]
    given = [c for c in confirmed if c.number >= len(candidates)]
    rows += [(c.number, None, None, dump(c.recipe), None, 0, np.nan, np.nan) for c in given]
    return table(zip(*rows, strict=True), CANDIDATES)


def recipes_of(phases: Iterable[tuple[str, Sequence[Candidate]]], names: Iterable[str], kind: ScoreKind) -> Table:
    """The table of the recipes of a comparison, an ablation or a sweep, in the columns `RECIPES`.

    Args:
        phases: as for `traces`. names: of their recipes, in the same order. kind: of the metric's scores.
    """
    every = [(phase, candidate) for phase, pool in phases for candidate in pool]
    rows = [
        (phase, c.number, name, dump(c.recipe), len(c.diverged), c.loss, float(kind.turned(c.score)))
        for (phase, c), name in zip(every, names, strict=True)
    ]
    return table(zip(*rows, strict=True), RECIPES)


def write(table: Table, path: Path) -> None:
    """Write `table` to the Parquet file `path`, whole or not at all."""
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    write_whole(path, buffer.getvalue())


def read(path: Path) -> Table:
    """The table in the Parquet file `path`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {one_line(error)}") from None


@dataclass(frozen=True)
class Point:
    """A point of a learning curve, its metric not negated."""

    phase: str
    candidate: int
    repeat: int
    progress: float
    training_loss: float
    validation_loss: float
    metric: float


def points(path: Path, candidate: int, repeat: int) -> Iterator[Point]:
    """The learning curve of `candidate` in `repeat`, in the order in which it was evaluated."""
    for row in read(path).to_pylist():
        if (row["candidate"], row["repeat"]) == (candidate, repeat):
            yield Point(**row)
