"""Checked data, as stored, and how arrays become it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from lanewise.data.arrays.checks import as_inputs, as_tensor, listed, widened
from lanewise.data.arrays.labels import as_labels, has_labels, label_names, numbered_labels
from lanewise.data.arrays.large import MappedFile, mapped_files
from lanewise.data.arrays.nested import (
    Inputs,
    Targets,
    branches,
    leaves,
    mapped,
    nesting,
    rebuilt,
    row_count,
    structure,
    take,
)
from lanewise.data.arrays.targets import CheckedTarget, Target, as_numbers, as_target, as_tokens, check_varies
from lanewise.data.encoding.schema import TableSchema
from lanewise.data.rows.rows import Rows, TensorRows
from lanewise.data.source.summary import described
from lanewise.data.splitting.splitter import Splitter
from lanewise.errors import InputError

ROLES = ("x", "y", "x_test", "y_test")
NO_TARGET = "where the objective needs no y, say target='none' or give x as a dict"


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Checked data, as stored: nothing scaled, nothing split.

    Attributes:
        name: built-in name or path, which `load` takes again; `arrays` for data given in memory.
        rows: all rows but those of its own test data. Their inputs are one tensor, a tuple of tensors or a dict of name
            -> tensor, each in the type it was stored in, finite: [rows], [rows, features], tokens [rows, T], series
            [rows, T, features], images [rows, channels, height, width], or more axes.
        y: int64 [rows] classes, 0 to classes - 1, every class present; floating [rows] or [rows, k]; int64 [rows, T]
            tokens, -100 where they do not count; or None, also for targets other than classes and numbers that are
            read with the rows.
        test_rows: the data's own test rows, with inputs of the same names, types and shapes, or None.
        y_test: test targets, classes of `y` only, or None.
        classes: number of classes, at least 2; None where the targets are no classes.
        target: what `y` is: `class`, `number`, `tokens` or `none`.
        class_names: of class 0, 1, ... where the labels had names, else None.
        feature_names: of every feature of a table's rows, else None. schema: how a table's columns became these.
        asked: what `load` was given beside the name, by which it gives the same again; None where it takes arrays.
        notes: what users should know of how the data was read, each one line.
        splitter: which rows train, which validate and which test.
        example: the inputs of a few rows, where they are not in memory.
        standardise: of every input, whether it is standardised, nested as `x`, see `standardise.Wanted`; None for the
            default.
        sampled: part -> the numbers of the rows that a sampler reads of its dataset, where it does not read all.
    """

    name: str
    rows: Rows
    y: Targets
    test_rows: Rows | None
    y_test: Targets
    classes: int | None
    target: Target = "class"
    notes: tuple[str, ...] = ()
    splitter: Splitter = field(default_factory=Splitter)
    example: Inputs = None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    asked: Mapping[str, Any] | None = field(default_factory=dict)
    standardise: Any = None
    sampled: Mapping[str, torch.Tensor] = field(default_factory=dict)
    schema: TableSchema | None = None

    def __repr__(self) -> str:
        return described(self)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def x(self) -> Inputs:
        """The inputs of all `rows`, or None where they are not in memory."""
        return self.rows.x if isinstance(self.rows, TensorRows) else None

    @property
    def x_test(self) -> Inputs | None:
        """The inputs of all `test_rows`; None where there are none, or they are not in memory."""
        return self.test_rows.x if isinstance(self.test_rows, TensorRows) else None

    @property
    def sample(self) -> Inputs:
        """The inputs of two rows (one, where there is one only), as stored."""
        return take(self.example, slice(2)) if self.x is None else mapped(widened, take(self.x, slice(2)))

    @property
    def is_image(self) -> bool:
        """Whether a row is an image [channels, height, width] and nothing else."""
        return isinstance(self.sample, torch.Tensor) and self.sample.ndim == 4

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row of the input, or of the first of several."""
        return tuple(leaves(self.sample)[0].shape[1:])

    @property
    def input_shapes(self) -> Any:
        """Shape of one row of every input, nested as `x` is."""
        return rebuilt(self.sample, [tuple(leaf.shape[1:]) for leaf in leaves(self.sample)])


def from_arrays(
    name: str, given: Mapping[str, Any], target: Target | None = None, images: bool | None = None
) -> Source:
    """The checked source `name` made of the arrays x, y and, both or neither, x_test and y_test."""
    arrays = {role: array for role, array in given.items() if array is not None}
    where = f"data {name}:"
    extra = [str(role) for role in arrays if role not in ROLES]
    without = target == "none" or (target is None and isinstance(arrays.get("x"), Mapping))
    if extra or "x" not in arrays or ("y" not in arrays and not without):
        found = ", ".join(map(str, arrays)) or "nothing"
        hint = f"; {NO_TARGET}" if list(arrays) == ["x"] else ""
        raise InputError(f"{where} has {found}; must have x and y, and may have x_test and y_test, nothing else{hint}")
    if "y" not in arrays:
        target = "none"
        if "y_test" in arrays:
            raise InputError(f"{where} has y_test and no y; must have both or neither")
    elif ("x_test" in arrays) != ("y_test" in arrays):
        raise InputError(f"{where} has only one of x_test and y_test; must have both or neither")

    files = {role: maps_of(f"{where} {role}", array) for role, array in arrays.items()}
    x = inputs(f"{where} x", arrays["x"], images)
    names = None
    if "y" in arrays and target in (None, "class") and (names := label_names(f"{where} y", arrays["y"])) is not None:
        for role in ("y", "y_test"):
            if role in arrays:
                arrays[role] = numbered_labels(f"{where} {role}", arrays[role], names)
    checked = as_target(f"{where} y", arrays.get("y"), target)
    if checked.y is not None:
        check_lengths(where, "x", x, "y", checked.y)
        if checked.target == "number":
            check_varies(f"{where} y", checked.y)
    notes = checked.notes
    if "x_test" not in arrays:
        rows = TensorRows(x, checked.y, files=files["x"] + files.get("y", ()))
        return Source(name, rows, checked.y, None, None, checked.classes, checked.target, notes, class_names=names)

    given_test = in_order(where, arrays["x"], arrays["x_test"])
    check_alike(where, arrays["x"], given_test)
    x_test = inputs(f"{where} x_test", given_test, images)
    y_test = test_target(where, arrays.get("y_test"), checked)
    if y_test is not None:
        check_lengths(where, "x_test", x_test, "y_test", y_test)
    rows = TensorRows(x, checked.y, files=files["x"] + files.get("y", ()))
    test_rows = TensorRows(x_test, y_test, files=files["x_test"] + files.get("y_test", ()))
    of_y = checked.y, test_rows, y_test, checked.classes, checked.target
    return Source(name, rows, *of_y, notes, class_names=names)


def maps_of(where: str, value: Any) -> tuple[MappedFile, ...]:
    """The files that the arrays of `value` are maps of, none of them cut short."""
    found = mapped_files(branches(where, value).items())
    for file in found:
        file.check()
    return found


def inputs(where: str, value: Any, images: bool | None = None, missing: bool = False) -> Inputs:
    """`value` as checked inputs, nested as it is, all with the same number of rows."""
    given = branches(where, value)
    parts = {name: as_inputs(name, part, images, missing, len(given) == 1) for name, part in given.items()}
    (first, head), *others = parts.items()
    for name, leaf in others:
        if len(leaf) != len(head):
            raise InputError(f"{first} has {len(head)} rows and {name.rpartition(' ')[2]} {len(leaf)}; must be as many")
    return rebuilt(value, list(parts.values()))


def test_target(where: str, value: Any, training: CheckedTarget) -> Targets:
    """The targets of the test rows, checked as those of the `training` rows are."""
    name, y = f"{where} y_test", training.y
    if y is None:
        return None
    if training.target == "class":
        found = as_labels(name, value)
        unseen = torch.unique(found[found >= (training.classes or 0)])
        if len(unseen):
            allowed = f"must be 0..{(training.classes or 0) - 1}"
            raise InputError(f"{name} has labels that are not in y: {listed(unseen)}; {allowed}")
        return found
    if training.target == "number" and has_labels(y) and not has_labels(as_numbers(name, value)):
        raise InputError(f"{name} has other numbers than 0 and 1; must be labels of 0 and 1 as y")
    found = as_numbers(name, value) if training.target == "number" else as_tokens(name, value)
    if found.shape[1:] != y.shape[1:]:
        raise InputError(f"{name} has rows of shape {list(found.shape[1:])}; must be {list(y.shape[1:])} as in y")
    return found.to(y.dtype)


def check_lengths(where: str, x_name: str, x: Inputs, y_name: str, y: torch.Tensor) -> None:
    """Raise `InputError` unless there is one target for each row."""
    if row_count(x) != len(y):
        raise InputError(f"{where} {x_name} has {row_count(x)} rows and {y_name} {len(y)} labels; must be as many")


def in_order(where: str, x: Any, x_test: Any) -> Any:
    """`x_test` with its names in the order of `x`, once both have the same."""
    if nesting(x) != nesting(x_test):
        raise InputError(f"{where} x_test is {structure(x_test)}; must be {structure(x)} as x is")
    return {name: x_test[name] for name in x} if isinstance(x, Mapping) else x_test


def few_rows(where: str, value: Any) -> torch.Tensor:
    """The first row of an array, or all rows of nested lists, as stored."""
    return as_tensor(where, value[:1] if hasattr(value, "dtype") and value.ndim else value)


def check_alike(where: str, x: Any, x_test: Any) -> None:
    """Raise `InputError` unless test rows, as given, have the shapes and types of training rows.

    Another type often means another scale, such as bytes of 0 to 255 against fractions of 1.
    """
    tests = branches(f"{where} x_test", x_test)
    for (name, part), (test_name, test_part) in zip(branches("x", x).items(), tests.items(), strict=True):
        stored, stored_test = few_rows(name, part), few_rows(test_name, test_part)
        if stored.shape[1:] != stored_test.shape[1:]:
            shape, wanted = list(stored_test.shape[1:]), list(stored.shape[1:])
            raise InputError(f"{test_name} has rows of shape {shape}; must be {wanted} as in {name}")
        if stored.dtype != stored_test.dtype:
            raise InputError(f"{test_name} is {stored_test.dtype}; must be {stored.dtype} as in {name}")
