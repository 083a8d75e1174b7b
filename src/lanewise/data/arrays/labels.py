"""Labels of classes in the forms that people have them: numbers, text, one-hot rows."""

from typing import Any

import numpy as np
import torch

from lanewise.data.arrays.checks import NUMBER_THEM, as_tensor, listed, row_blocks
from lanewise.errors import InputError


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


def has_labels(y: torch.Tensor) -> bool:
    """Whether `y` holds 0 and 1 only: whether something is so."""
    if y.numel() == 0 or y.dtype is torch.bool or y.ndim == 0:
        return y.numel() > 0 and (y.dtype is torch.bool or float(y) in (0, 1))
    return all(bool(((y[at] == 0) | (y[at] == 1)).all()) for at in row_blocks(y))
