"""How the winner does on each class: precision, recall and F1 on the test rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lanewise.lanes.training.cohort import Cohort
from lanewise.lanes.training.predictions import predicted_classes
from lanewise.task.objectives import Classification


@dataclass(frozen=True)
class OfClass:
    """One class on the test rows, the mean over the training runs.

    Attributes:
        name: of the class, or its number. rows: test rows of it. precision: of the rows taken for it, the share that is
            of it, 0 where none is taken for it. recall: of its rows, the share taken for it; None where it has no row.
            f1: 2 TP / (2 TP + FP + FN); None where it has no row and none is taken for it.
    """

    name: str
    rows: int
    precision: float
    recall: float | None
    f1: float | None


def by_class(cohort: Cohort, candidate: int) -> tuple[OfClass, ...]:
    """The results of `candidate` for each class; none where the targets are no classes."""
    engine = cohort.engine
    source, y = (
        engine.task.source,
        engine.repeat(cohort.repeats[0]).targets(torch.arange(len(engine.holdout.test)), test=True),
    )
    if not isinstance(engine.task.objective, Classification) or y is None or source.classes is None:
        return ()
    runs = [run for run in predicted_classes(cohort, candidate) if run is not None]
    names = source.class_names or tuple(map(str, range(source.classes)))
    return results(y.numpy(), runs, names) if runs else ()


def results(y: np.ndarray, runs: Sequence[np.ndarray], names: Sequence[str]) -> tuple[OfClass, ...]:
    """The results for each class of `names`.

    Args:
        y: the class of each row, int64 [rows]. runs: what each run takes the rows for, int64 [rows] each.

    >>> results(np.array([0, 0, 1]), [np.array([0, 1, 1])], ["no", "yes"])[1]
    OfClass(name='yes', rows=1, precision=0.5, recall=1.0, f1=0.6666666666666666)
    """
    count = len(names)
    own = np.bincount(y, minlength=count)
    taken = np.array([np.bincount(run, minlength=count) for run in runs])
    right = np.array([np.bincount(y[run == y], minlength=count) for run in runs])
    precision = (right / np.maximum(taken, 1)).mean(axis=0)
    recall = (right / np.maximum(own, 1)).mean(axis=0)
    f1 = (2 * right / np.maximum(own + taken, 1)).mean(axis=0)
    found = []
    for at, name in enumerate(names):
        known = bool(own[at] or taken[:, at].any())
        found.append(
            OfClass(
                name, int(own[at]), float(precision[at]),
                float(recall[at]) if own[at] else None, float(f1[at]) if known else None,
            )
        )  # fmt: skip
    return tuple(found)
