"""Where data comes from: a name, a folder, a file, arrays or a torch Dataset; and how its rows are to be split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.data import pictures
from lanewise.data.arrays.large import MEASURED_ONCE
from lanewise.data.arrays.nested import byte_count
from lanewise.data.arrays.targets import TARGETS, Target
from lanewise.data.datasets import CACHE_BYTES, Wishes, from_datasets, is_dataset
from lanewise.data.formats import digits, idx, npy, npz
from lanewise.data.rows.rows import Progress, untold
from lanewise.data.source.measured import Given, as_wanted, input_notes
from lanewise.data.source.source import ROLES, Source, from_arrays
from lanewise.data.splitting.splitter import Splitter, chosen_by
from lanewise.data.tables import framed, openml, tables
from lanewise.data.tables.columns import Table
from lanewise.errors import InputError, a_type

BUILT_IN = {"digits": digits.read}
"""Data known by name; a recipe file may record these names."""

ALLOWED = (
    f"{', '.join(BUILT_IN)}, a folder with IDX files or with a folder of pictures for every class, an .npz file with x"
    f" and y or a folder with x.npy and y.npy, a table ({', '.join(tables.ENDINGS)}), openml:NAME, a DataFrame, arrays"
    " (x, y) or a torch Dataset"
)
MEASURED_NOTE = (
    "{} x takes {:,.0f} MiB: it is standardised by all examples but the test examples, measured once for all repeats"
)
SPLITS = ("class", "random", "time")


@dataclass(frozen=True)
class Choices:
    """What users say of how data is read; `load` describes each."""

    target: Target | None = None
    images: bool | None = None
    target_column: str | None = None
    drop: Sequence[str] = ()
    categories: Sequence[str] = ()
    size: int | tuple[int, int] | None = None
    aside: tuple[str, ...] = ()
    wishes: Wishes = Wishes()
    drop_missing_target: bool = False
    encoding: str | None = None

    def table(self, source: Any, target_column: str | None) -> Table:
        """The table at a path, or of a DataFrame."""
        return tables.read(
            source, target_column, self.drop, self.aside, encoding=self.encoding, categories=self.categories,
            drop_missing_target=self.drop_missing_target,
        )  # fmt: skip


@dataclass(frozen=True)
class Read:
    """A source, and the columns of its table by which rows are to be split."""

    source: Source
    aside: "Mapping[str, np.ndarray[Any, Any]]"


def load(
    source: Any,
    *,
    target: str | None = None,
    images: bool | None = None,
    target_column: str | None = None,
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    size: int | tuple[int, int] | None = None,
    split: str | None = None,
    groups: Any = None,
    time: Any = None,
    splits: Sequence[tuple[Any, Any]] = (),
    test: Any = None,
    folds: int | None = None,
    standardise: Given = True,
    cache: bool = False,
    cache_bytes: int = CACHE_BYTES,
    progress: Progress = untold,
    drop_missing_target: bool = False,
    encoding: str | None = None,
) -> Source:
    """Read and check data.

    Args:
        source: `"digits"`; `"openml:NAME"` or `"openml:NUMBER"`; the path of a folder with the standard IDX files
            (`idx.read_folder`) or with a folder of pictures for every class, of a table (`.csv`, `.tsv`, each plain or
            with `.gz`, or `.parquet`), of an `.npz` with the arrays x, y and, if there is test data, x_test and
            y_test, of a folder with these as `.npy` files, or of one such file, which is x alone; a DataFrame of
            pandas, polars or any library that gives its columns to Arrow, or a structured array of NumPy; a tuple (x,
            y) or (x, y, x_test, y_test), where x may be a DataFrame without the target; or a mapping with these names.
            Arrays are NumPy arrays, torch tensors or nested lists; x may also be a tuple of arrays (the model's
            arguments) or a mapping of them (its named arguments), in an archive as `x.tokens`, `x.length`. A `Source`
            is returned as it is. A folder that is called like built-in data is reached as `./digits`. Or a map-style or
            iterable `torch.utils.data.Dataset`; or a DataLoader, whose dataset, workers, `collate_fn`, `pin_memory` and
            `worker_init_fn` are used; or a mapping of them as `train` and, both optional unless `train` is iterable,
            `valid` and `test`.
        target: what y is: `class`, `number`, `tokens` or `none`; by default as `targets.as_target` says. Without y the
            x must be a mapping, or this `none`. For a table, this may be the heading of the target column.
        images: arrays of four axes are images, turned to channels first where the last axis has length 1, 3 or 4 and
            both before it are longer. Three axes of pixels (8 or 16 bits) are images without a channel axis, of
            floating numbers series [rows, time, features], of int32 and int64 tokens; True makes images of these, too,
            and False leaves every shape as it is.
            Items of datasets are always left as they are.
        target_column: heading of the column to be learnt. drop: headings of columns to leave out. categories: headings
            of columns of numbers that are names of things, such as postcodes.
        size: of a folder of pictures, height and width in pixels (or both as one number) to which all are resized.
        split: `class` (each class has the same share of every part; the default where there are classes), `random`, or
            `time` (training rows before validation rows before test rows, in the order in which they come).
        groups: rows of one group are never in two parts; one value for each row, or the heading of a table's column.
        time: split in the order of this: one number or date for each row, or the heading of a table's column.
        splits: (training rows, validation rows) of every repeat, as row numbers or masks. test: the test rows likewise.
        folds: K; every K repeats validate on all rows once.
        standardise: inputs that are measurements are; False leaves all as they are, names (of inputs, or of columns of
            a table; numbers of a tuple) leave all others, and name -> True or False says it of some. Of themselves,
            tokens, truth values, masks and features that are only 0 and 1 stay as they are; a note says which.
        cache: a dataset gives the same values every time, so it is read once and kept in memory if it fits.
        cache_bytes: keep no more than this. progress: called with (rows read, rows in all, 0 if unknown) while reading.
        drop_missing_target: leave out the rows of a table that have no target. encoding: of a table that is a text
            file, such as `latin-1`; by default what its byte order mark says, else UTF-8, else Windows-1252.

    Raises:
        InputError: unknown name or missing path; damaged file; ragged, empty or single-class data; another number of
            targets than rows; NaN or infinity; labels that are not 0..K-1; test data of another shape or type, or with
            labels not in the training data; splits that contradict each other.
    """
    if is_frame(source) or framed.roles_of(source) is not None:
        # pandas calls columns without names 0, 1, 2, ...
        target, target_column = heading_of(target), heading_of(target_column)
        drop, categories = (
            given if isinstance(given, str) else [heading_of(one) for one in given] for given in (drop, categories)
        )
    named = {role: given for role, given in (("groups", groups), ("time", time)) if isinstance(given, str)}
    kind: Target | None = target if target in TARGETS else None  # type: ignore[assignment]
    if target is not None and kind is None:
        table = isinstance(source, (str, os.PathLike)) or is_frame(source)
        if not table or target_column is not None:
            raise InputError(f"target = {target!r}: must be {', '.join(TARGETS)}")
        target_column = target
    wishes = Wishes(kind, cache, cache_bytes, progress)
    drop, categories = ((given,) if isinstance(given, str) else given for given in (drop, categories))
    aside = tuple(named.values())
    choices = Choices(kind, images, target_column, drop, categories, size, aside, wishes, drop_missing_target, encoding)
    read = Read(source, {}) if isinstance(source, Source) else opened(source, choices)
    for role, heading in named.items():
        if heading not in read.aside:
            raise InputError(f"{role} = {heading!r}: only tables have columns; give one value for each row")
    asked = told_again(
        target=target if kind else None, images=images, target_column=target_column, drop=drop, categories=categories,
        size=size, split=split, groups=groups, time=time, splits=splits, test=test, folds=folds,
        standardise=None if standardise is True else standardise,
        drop_missing_target=drop_missing_target or None, encoding=encoding,
    )  # fmt: skip
    if isinstance(time, str) and read.aside[time].dtype.kind == "O":
        raise InputError(f"time = {time!r}: the column holds {read.aside[time][0]!r}: must hold numbers or dates")
    groups, time = (read.aside[given] if isinstance(given, str) else given for given in (groups, time))
    found = divided_as(read.source, split=split, groups=groups, time=time, splits=splits, test=test, folds=folds)
    if not isinstance(source, Source) or standardise is not True:
        found = standardised_as(found, standardise)
    if asked == {}:
        return found
    before = found.asked
    return replace(found, asked=None if before is None or asked is None else {**before, **asked})


def heading_of(given: Any) -> Any:
    """A whole number as the heading that it is in a table."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def told_again(**given: Any) -> dict[str, Any] | None:
    """The arguments of `load` that say something, as plain data; None where one holds rows, which are no such thing."""
    named = {name: value for name, value in given.items() if chosen_by(value)}
    for name, value in named.items():
        if name == "standardise" and isinstance(value, Mapping):
            named[name] = dict(value)
        elif name in ("drop", "categories", "size", "standardise") and not isinstance(value, (str, int)):
            named[name] = list(value)
        elif not isinstance(value, (str, bool, int)):
            return None
    return named


def opened(source: Any, choices: Choices) -> Read:
    """The data of anything but a `Source`."""
    target, images = choices.target, choices.images
    if isinstance(source, str) and source in BUILT_IN:
        no_columns(source, choices)
        return Read(from_arrays(source, BUILT_IN[source](), target, images), {})
    if isinstance(source, str) and source.startswith(openml.PREFIX):
        only_text(source, choices)
        table = openml.read(source, choices.target_column, choices.drop, choices.aside, choices.drop_missing_target)
        only_pictures(source, choices)
        return Read(table.source(source, choices.target, choices.categories), table.aside)
    if isinstance(source, (str, os.PathLike)):
        return from_path(os.fspath(source), choices)
    if is_frame(source):
        only_pictures(tables.FRAME, choices)
        table = choices.table(source, choices.target_column or choices.target)
        kind = choices.target if choices.target_column else None
        # It cannot be read again by its name.
        return Read(replace(table.source(tables.FRAME, kind, choices.categories), name="arrays"), table.aside)
    if (given := framed.roles_of(source)) is not None:
        if choices.target_column is not None:
            raise InputError(f"data arrays: target_column = {choices.target_column!r}: y is given: must be one of them")
        only_pictures(tables.FRAME, choices)
        found, table = framed.read(given, choices.target, choices.table, choices.categories)
        return Read(found, table.aside)
    no_columns("arrays", choices)
    if is_dataset(source) or (isinstance(source, Mapping) and "train" in source):
        return Read(from_datasets(source, choices.wishes), {})
    if isinstance(source, Mapping):
        return Read(from_arrays("arrays", source, target, images), {})
    if isinstance(source, tuple):
        if len(source) not in (2, 4):
            raise InputError(f"data has {len(source)} arrays: must be (x, y) or (x, y, x_test, y_test)")
        return Read(from_arrays("arrays", dict(zip(ROLES, source, strict=False)), target, images), {})
    raise InputError(f"data is {'None' if source is None else a_type(source)}: must be {ALLOWED}")


def is_frame(source: Any) -> bool:
    """Whether `source` is a DataFrame; data sets that give their columns to Arrow, too, are read as data sets."""
    return tables.is_frame(source) and not is_dataset(source)


def from_path(text: str, choices: Choices) -> Read:
    """The data of the folder or file `text`."""
    path = Path(text)
    name = f"./{text}" if text in BUILT_IN else text
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:
        raise InputError(f"data {text!r}: no path ({error}); must be {ALLOWED}") from error
    if not text or not (is_folder or is_file):
        raise InputError(f"data {text!r}: no such data, folder or file; must be {ALLOWED}")
    if is_file and tables.is_table(path):
        # A heading may be called like a kind of target.
        heading = choices.target_column or choices.target
        kind = choices.target if choices.target_column else None
        only_pictures(name, choices)
        table = choices.table(path, heading)
        return Read(table.source(name, kind, choices.categories), table.aside)
    if is_folder and pictures.is_folder_of_pictures(path):
        no_columns(name, replace(choices, size=None))
        return Read(pictures.read(name, path, choices.size, choices.wishes), {})
    no_columns(name, choices)
    if is_folder and npy.holds_arrays(path):
        return Read(from_arrays(name, grouped(npy.read_folder(path)), choices.target, choices.images), {})
    if is_folder:
        return Read(from_arrays(name, idx.read_folder(path), choices.target, choices.images is not False), {})
    if path.suffix == npy.SUFFIX:
        return Read(from_arrays(name, {"x": npy.read(path)}, choices.target, choices.images), {})
    if path.suffix != ".npz":
        raise InputError(f"data {text!r}: a file of unknown kind; must be {ALLOWED}")
    return Read(from_arrays(name, grouped(npz.read(path)), choices.target, choices.images), {})


def no_columns(name: str, choices: Choices) -> None:
    """Raise `InputError` if columns are named of what has none."""
    for argument in ("target_column", "drop", "categories", "drop_missing_target"):
        if given := getattr(choices, argument):
            raise InputError(f"data {name}: {argument} = {given!r}: only tables have columns")
    only_pictures(name, choices)
    only_text(name, choices)


def only_text(name: str, choices: Choices) -> None:
    """Raise `InputError` if an encoding is given for what is no text."""
    if choices.encoding is not None:
        raise InputError(f"data {name}: encoding = {choices.encoding!r}: only tables of text have one")


def only_pictures(name: str, choices: Choices) -> None:
    """Raise `InputError` if a size is given for what is no folder of pictures."""
    if choices.size is not None:
        raise InputError(f"data {name}: size = {choices.size!r}: only folders of pictures are resized")


def divided_as(source: Source, *, split: str | None, test: Any, folds: int | None, **by: Any) -> Source:
    """`source` with the splitter that users ask for, or as it is if they ask for none."""
    chosen = [name for name, given in {**by, "split": split, "test": test, "folds": folds}.items() if chosen_by(given)]
    if not chosen:
        return source
    if source.splitter.splits:
        raise InputError(f"{', '.join(chosen)}: validation data is given already: must be one of them")
    if test is not None and source.test_rows is not None:
        raise InputError("test: the data brings test rows of its own: must be one of them")
    if split is not None and split not in SPLITS:
        raise InputError(f"split = {split!r}: must be {', '.join(SPLITS)}")
    if split is not None and (chosen_by(by["groups"]) or chosen_by(by["splits"])):
        raise InputError(f"split = {split!r}: groups and splits say it already: must be one of them")
    if split == "class" and source.target != "class":
        raise InputError("split = 'class': the targets are no classes; must be random or time")
    if split == "time" and by["time"] is None:
        by["time"] = np.arange(len(source))
    elif split != "time" and split is not None and by["time"] is not None:
        raise InputError(f"split = {split!r} and time: must be one of them")
    splitter = Splitter.checked(len(source), test=test, folds=folds, stratify=split != "random", **by)
    splitter = replace(splitter, weights=source.splitter.weights)
    copies = source.splitter.copies
    return replace(source, splitter=splitter if copies is None else splitter.with_copies(copies))


def standardised_as(source: Source, given: Given) -> Source:
    """`source` with what users say of which inputs are standardised, and a note on which are."""
    where, sampled = f"data {source.name}:", not source.rows.in_memory
    x = source.sample if sampled else source.x
    wanted = source.standardise if given is True else as_wanted(given, source.sample, source.feature_names)
    now = input_notes(where, x, wanted, source.feature_names, sampled)
    same = wanted is source.standardise
    told = now if same else input_notes(where, x, source.standardise, source.feature_names, sampled)
    notes = (*(note for note in source.notes if note not in told), *now)
    if source.splitter.at_random and (size := byte_count(source.x)) >= MEASURED_ONCE and given is not False:
        notes = (*notes, MEASURED_NOTE.format(where, size / 2**20))
    return replace(source, standardise=wanted, notes=notes)


def grouped(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays called `x.tokens` and `x.length` as x = {"tokens": ..., "length": ...}; x_test likewise.

    >>> grouped({"x.tokens": 1, "x.length": 2, "y": 3})
    {'x': {'tokens': 1, 'length': 2}, 'y': 3}
    """
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        role, dot, part = name.partition(".")
        if dot and role in ("x", "x_test") and role not in arrays:
            found.setdefault(role, {})[part] = array
        else:
            found[name] = array
    return found
