"""What is to be learnt of each row: a class, numbers, the next tokens, or nothing that the data names."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch

from lanewise.data.arrays.checks import as_tensor, check_finite, row_blocks
from lanewise.data.arrays.class_errors import ClassError
from lanewise.data.arrays.labels import as_labels, count_classes, has_labels
from lanewise.errors import InputError

Target: TypeAlias = Literal["class", "number", "tokens", "none"]
TARGETS: tuple[str, ...] = get_args(Target)

ONE_HOT = "{}: every row has a single 1, whose column is read as the class; target='number' keeps the columns"
MANY_HOT = "{}: {} of 0 and 1 are taken for several labels of each row and left unscaled"

IGNORED = -100
"""A target token that counts for nothing, as in `torch.nn.CrossEntropyLoss`."""

MOST_FLOAT_CLASSES = 1000
"""Floating targets that are all of 0..K-1 are classes up to this K; beyond it, numbers are likelier."""


@dataclass(frozen=True, eq=False)
class CheckedTarget:
    """Targets as they are stored.

    Attributes:
        y: int64 [rows] classes, floating [rows] or [rows, k], int64 [rows, T] tokens, or None.
        target: which of these. classes: how many, where they are classes. notes: what users should know.
    """

    y: torch.Tensor | None
    target: Target
    classes: int | None = None
    notes: tuple[str, ...] = ()


def as_target(where: str, value: Any, target: Target | None = None) -> CheckedTarget:
    """`value` checked as `target`, or, by default, as what it looks like.

    Whole numbers [rows] or [rows, 1] are classes and must be 0..K-1; [rows, K] of 0 and 1, a single 1 in every row, are
    classes, too, and other [rows, k] of 0 and 1 are numbers: several labels of each row. Whole numbers [rows, T] are
    tokens, of which -100 counts for nothing, and so are those of more axes, such as label maps. Floating numbers of any
    shape are numbers, but [rows] that are all of 0..K-1, K at most 1000 and each in two rows or more, are classes,
    since labels often come as floats. `target="number"` says otherwise.

    >>> as_target("y", [2, 0, 1]).classes
    3
    >>> as_target("y", [1.0, 0.0, 0.0, 1.0]).target, as_target("y", [1.5, 0.0, 0.0, 1.5]).target
    ('class', 'number')
    >>> as_target("y", [[0, 1], [1, 0], [0, 1]]).y, as_target("y", [[0, 1], [1, 1]]).target
    (tensor([1, 0, 1]), 'number')
    >>> as_target("y", [1.0, 0.0, 0.0, 1.0], "number").y
    tensor([1., 0., 0., 1.], dtype=torch.float64)

    Raises:
        InputError: another shape, NaN or infinity, classes with gaps, one class or one number only.
    """
    if target is not None and target not in TARGETS:
        raise InputError(f"target = {target!r}: must be {', '.join(TARGETS)}")
    if target == "none":
        if value is not None:
            raise InputError(f"{where} is given and target = 'none': leave it out, or name another target")
        return CheckedTarget(None, "none")
    y = as_tensor(where, value)
    notes: tuple[str, ...] = ()
    if target is None:
        target = likely(y)
        if target == "class" and y.is_floating_point():
            notes = (f"{where}: whole floating numbers are read as classes; for a regression say target='number'",)
        elif target == "class" and y.ndim == 2 and y.shape[1] > 1:
            notes = (ONE_HOT.format(where),)
        elif target == "number" and y.ndim > 1 and has_labels(y):
            notes = (many_hot_note(where, y),)
    if target == "tokens":
        return CheckedTarget(as_tokens(where, y), target)
    if target == "number":
        return CheckedTarget(as_numbers(where, y), target, None, notes)
    labels = as_labels(where, y)
    return CheckedTarget(labels, "class", count_classes(where, labels), notes)


def many_hot_note(where: str, y: torch.Tensor) -> str:
    """That `y` holds several labels of each row."""
    note = MANY_HOT.format(where, f"{y.shape[1]} columns" if y.ndim == 2 else "maps")
    one = y.ndim == 2 and is_one_hot(y)
    return f"{note}; every row has a single 1: target='class' reads them as classes" if one else note


def likely(y: torch.Tensor) -> Target:
    """What `y` is, as `as_target` says."""
    if not y.is_floating_point():
        if y.ndim < 2 or (y.ndim == 2 and (y.shape[1] == 1 or is_one_hot(y))):
            return "class"
        return "number" if y.dtype is torch.bool or (y.ndim == 2 and has_labels(y)) else "tokens"
    if y.ndim != 1 or not len(y) or not bool((torch.isfinite(y) & (y == y.floor())).all()):
        return "number"
    found, counts = torch.unique(y, return_counts=True)
    complete = float(found[0]) == 0 and float(found[-1]) == len(found) - 1 and int(counts.min()) >= 2
    return "class" if complete and 2 <= len(found) <= MOST_FLOAT_CLASSES else "number"


def is_one_hot(y: torch.Tensor) -> bool:
    """Whether every row of `y` [rows, K] is 0 but for a single 1, and every column has one in some row."""
    if y.ndim != 2 or y.shape[1] < 2 or not has_labels(y):
        return False
    return bool((y.sum(1) == 1).all()) and bool((y.sum(0) > 0).all())


def as_numbers(where: str, value: Any) -> torch.Tensor:
    """`value` as finite floating numbers [rows] or [rows, ...]; whole ones become float64."""
    y = as_tensor(where, value)
    if y.ndim < 1:
        raise InputError(f"{where} is a single number: must be [rows] or [rows, k], k numbers for each row")
    if y.numel() == 0:
        raise InputError(f"{where} is empty (shape {list(y.shape)}): must have one number for each row")
    check_finite(where, y)
    return y if y.is_floating_point() else y.to(torch.float64)


def check_varies(where: str, y: torch.Tensor) -> None:
    """Raise `InputError` if a number to be learnt is the same in all rows.

    A label of several that no row has is none, and so is a place of a map: then all must be the same.
    """
    constant = torch.ones(y.shape[1:], dtype=torch.bool)
    for at in row_blocks(y):
        constant &= (y[at] == y[0]).all(0)
        if not bool(constant.any()):
            break
    refused = constant.all() if y.ndim > 2 or has_labels(y) else constant.any()
    if bool(refused):
        column = "" if y.ndim != 2 else f"[:, {int(constant.nonzero()[0])}]"
        raise InputError(f"{where}{column} is the same number in every row: there is nothing to learn")


def as_tokens(where: str, value: Any) -> torch.Tensor:
    """`value` as int64 tokens [rows, T] or maps of them [rows, ...], from 0 up or `IGNORED`."""
    y = as_tensor(where, value)
    if y.ndim < 2 or y.is_floating_point() or y.dtype is torch.bool:
        kind = str(y.dtype).removeprefix("torch.")
        raise InputError(f"{where} is {kind} of shape {list(y.shape)}: tokens must be whole numbers [rows, T]")
    if y.numel() == 0:
        raise InputError(f"{where} is empty (shape {list(y.shape)}): must have at least one row and one token")
    y = y.to(torch.int64)
    for at in row_blocks(y):
        wrong = ((y[at] < 0) & (y[at] != IGNORED)).flatten(1).any(1).nonzero().flatten()
        if not len(wrong):
            continue
        row = at.start + int(wrong[0])
        token = int(y[row][(y[row] < 0) & (y[row] != IGNORED)][0])
        raise InputError(f"{where} has the token {token} in row {row}: must be 0 or more, or {IGNORED} to be ignored")
    return y


def balanced_weights(y: torch.Tensor, classes: int, rows: torch.Tensor | None = None) -> tuple[float, ...]:
    """The weight n / (classes * n_k) of every class k, so that all classes weigh the same in the loss.

    n is the number of rows and n_k that of class k, at `rows` (int64), by default at all.

    >>> balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
    (0.6666666666666666, 2.0)

    Raises:
        InputError: a class without a row.
    """
    labels = y if rows is None else y[rows]
    counts = torch.bincount(labels, minlength=classes).tolist()
    if 0 in counts:
        raise ClassError(counts.index(0), "{} has no training row: classes cannot be weighted by their counts")
    return tuple(len(labels) / (classes * count) for count in counts)


def short(values: torch.Tensor) -> str:
    """`values` as numbers, a few at most.

    >>> short(torch.tensor([1.0, 2.5])), short(torch.zeros(9))
    ('[1, 2.5]', '9 numbers')
    """
    if values.ndim == 0:
        return f"{values.item():g}"
    few = values.numel() <= 4
    return f"[{', '.join(f'{value:g}' for value in values.tolist())}]" if few else f"{values.numel():,} numbers"
