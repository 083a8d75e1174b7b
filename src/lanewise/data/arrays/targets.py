"""What is to be learnt of each row: a class, numbers, the next tokens, or nothing that the data names."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch

from lanewise.data.arrays.checks import NUMBER_THEM, as_tensor, check_finite, listed
from lanewise.data.arrays.class_errors import ClassError
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


def has_labels(y: torch.Tensor) -> bool:
    """Whether `y` holds 0 and 1 only: whether something is so."""
    return y.numel() > 0 and (y.dtype is torch.bool or bool(((y == 0) | (y == 1)).all()))


def is_one_hot(y: torch.Tensor) -> bool:
    """Whether every row of `y` [rows, K] is 0 but for a single 1, and every column has one in some row."""
    if y.ndim != 2 or y.shape[1] < 2 or not has_labels(y):
        return False
    return bool((y.sum(1) == 1).all()) and bool((y.sum(0) > 0).all())


def as_text(value: Any) -> "np.ndarray[Any, Any] | None":
    """`value` as an array of text if it is text, whole or mixed with nothing, else None."""
    if isinstance(value, torch.Tensor):
        return None
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    if array.dtype.kind == "O" and array.size and all(isinstance(label, bytes) for label in array.flat):
        return decoded(array)
    if array.dtype.kind == "S":
        return decoded(array)
    if array.dtype.kind == "O" and array.size and all(isinstance(label, str) for label in array.flat):
        return array.astype(str)
    return array if array.dtype.kind in "UT" else None


def decoded(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    r"""Bytes as text; a label that is no UTF-8 keeps its bytes as `\xe9`, so that different labels stay different.

    >>> decoded(np.array([b"ant", b"\xe9", b"\xe8"])).tolist()
    ['ant', '\\xe9', '\\xe8']
    """

    def text(label: bytes) -> str:
        try:
            return label.decode("utf-8")
        except UnicodeDecodeError:
            return label.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")

    found = np.array([text(label) for label in array.ravel().tolist()], dtype=str).reshape(array.shape)
    if len(np.unique(found)) < len(set(array.ravel().tolist())):
        raise InputError("labels are bytes of which some are no UTF-8 and are ambiguous as text: decode them first")
    return found


def label_names(where: str, value: Any) -> tuple[str, ...] | None:
    """The names of the classes, sorted, if the labels `value` are text; None if they are not.

    >>> label_names("y", ["cat", "ant", "cat"])
    ('ant', 'cat')
    """
    text = as_text(value)
    if text is None:
        return None
    if text.ndim == 2 and text.shape[1] == 1:
        text = text[:, 0]
    if text.ndim != 1:
        raise InputError(f"{where} has shape {list(text.shape)}: must be [rows], one class name for each row")
    return tuple(str(name) for name in np.unique(text))


def numbered_labels(where: str, value: Any, names: tuple[str, ...]) -> "np.ndarray[Any, Any]":
    """The number in `names` of every label.

    Raises:
        InputError: a label that is none of the names.
    """
    text = as_text(value)
    if text is not None and text.ndim == 2 and text.shape[1] == 1:
        text = text[:, 0]
    if text is None or text.ndim != 1:
        raise InputError(f"{where} must be class names [rows], as those of y")
    unseen = sorted(set(text.tolist()) - set(names))
    if unseen:
        raise InputError(
            f"{where} has labels that are not in y: {', '.join(unseen[:8])}; must be {', '.join(names[:8])}"
        )
    return np.searchsorted(np.array(names), text.astype(str))


def as_labels(where: str, value: Any) -> torch.Tensor:
    """`value` as int64 labels [rows], whole numbers from 0 up; also given as [rows, 1], or one-hot as [rows, K]."""
    y = single_labels(where, as_tensor(where, value))
    if y.numel() == 0:
        raise InputError(f"{where} is empty: must have one label for each row")
    if y.is_floating_point():
        wrong = (~torch.isfinite(y) | (y != y.floor())).nonzero().flatten()
        if len(wrong):
            row = int(wrong[0])
            raise InputError(f"{where} has the label {y[row].item()} in row {row}: labels must be whole numbers 0..K-1")
    y = y.to(torch.int64)
    if int(y.min()) < 0:
        row = int((y < 0).nonzero()[0])
        raise InputError(f"{where} has the label {int(y[row])} in row {row}: labels must be 0..K-1; {NUMBER_THEM}")
    return y


def single_labels(where: str, y: torch.Tensor) -> torch.Tensor:
    """Labels [rows] of what may be [rows, 1], or [rows, K] with a single 1 in every row."""
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    if y.ndim == 2 and len(y) and has_labels(y):
        wrong = (y.sum(1) != 1).nonzero().flatten()
        if not len(wrong):
            return y.to(torch.int64).argmax(1)
        row = int(wrong[0])
        raise InputError(
            f"{where} has {int(y[row].sum())} labels in row {row}: classes must have one in every row; for several, say"
            " target='number' and give an objective of your own, such as binary cross entropy"
        )
    if y.ndim != 1:
        raise InputError(f"{where} has shape {list(y.shape)}: must be [rows], one class number for each row")
    return y


def count_classes(where: str, y: torch.Tensor) -> int:
    """The number K of classes in `y`, whose labels must be exactly 0..K-1 with K at least 2."""
    found = torch.unique(y)
    if len(found) == 1:
        raise InputError(f"{where} has one class only (label {int(found[0])}): must have at least two")
    if int(found[-1]) != len(found) - 1:
        raise InputError(
            f"{where} has {len(found)} different labels, {listed(found)}: must be 0..{len(found) - 1}; {NUMBER_THEM},"
            " target='number' makes them numbers"
        )
    return len(found)


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
    constant = (y == y[0]).all(0)
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
    wrong = ((y < 0) & (y != IGNORED)).flatten(1).any(1).nonzero().flatten()
    if len(wrong):
        row = int(wrong[0])
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


@dataclass(frozen=True, eq=False)
class TargetScale:
    """The map y -> (y - mean) / std of numeric targets, and back; mean and std are those of the training rows.

    Targets that are 0 or 1 in all rows are labels and no measurements: they have mean 0 and std 1.

    Attributes:
        mean: float64, [] for one number a row, [k] for k; all the same for maps [rows, ...] of three axes or more.
        std: shaped as `mean`, above 0 (1 where all are equal).

    >>> scale = TargetScale.fit(torch.tensor([10.0, 30.0, 99.0]), torch.tensor([0, 1]))
    >>> scale.mean.item(), scale.std.item()
    (20.0, 10.0)
    >>> scale.apply(torch.tensor([40.0])), scale.invert(torch.tensor([2.0]))
    (tensor([2.]), tensor([40.]))
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __repr__(self) -> str:
        return f"TargetScale(mean={short(self.mean)}, std={short(self.std)})"

    @classmethod
    def fit(cls, y: torch.Tensor, rows: torch.Tensor | None = None) -> "TargetScale":
        """Measure `y` [rows] or [rows, k] at `rows` (int64), by default at all.

        Raises:
            InputError: no rows, whole numbers, or values that overflow float64.
        """
        if not y.is_floating_point():
            raise InputError(f"y is {y.dtype}: only floating targets are scaled")
        values = (y if rows is None else y[rows]).to(torch.float64)
        if not len(values):
            raise InputError("no training rows to scale targets by: must be at least one")
        labels = ((y == 0) | (y == 1)).all(0) if y.ndim < 3 else torch.tensor(has_labels(y)).expand(y.shape[1:])
        shape = values.shape[1:]
        if y.ndim > 2:
            # One scale for a whole map: places must not weigh by how little they vary.
            values = values.flatten()
        low, high = values.amin(0), values.amax(0)
        unit = torch.where(low == high, 1.0, high - low)
        mean = torch.where(low == high, low, values.mean(0))
        std = torch.where(low == high, 1.0, unit * ((values - mean) / unit).square().mean(0).sqrt())
        mean = torch.where(labels, 0.0, mean.expand(shape))
        std = torch.where(labels, 1.0, std.expand(shape))
        if not bool((torch.isfinite(mean) & torch.isfinite(std)).all()):
            raise InputError("y spreads too widely: its mean or standard deviation overflows float64")
        return cls(mean, std)

    def apply(self, y: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """(y - mean) / std in type `dtype`, computed in float64."""
        return ((y.to(torch.float64) - self.mean.to(y.device)) / self.std.to(y.device)).to(dtype)

    def invert(self, y: torch.Tensor) -> torch.Tensor:
        """Mean + std * y: scaled numbers or outputs in the unit of the data, in the type of `y`."""
        return (self.mean.to(y.device) + self.std.to(y.device) * y.to(torch.float64)).to(y.dtype)
