"""A source in a few lines, for people."""

from typing import Any

import torch

from lanewise.data.arrays.nested import branches, leaves
from lanewise.data.source.standardise import features_left, is_tokens

SHOWN_NOTES = 8
LONGEST = 200


def described(source: Any) -> str:
    """What `print(source)` shows: name, rows, inputs, targets, splits and notes, a line each."""
    tested = source.test_rows
    own = "set apart from them" if tested is None else f"{len(tested):,} of their own"
    where = "" if source.rows.in_memory else ", read when they are wanted"
    lines = [f"data {source.name}", f"  rows: {len(source):,}{where}; test rows: {own}"]
    for name, leaf in zip(branches("x", source.sample), leaves(source.sample), strict=True):
        lines.append(f"  {name}: {kind_of_input(leaf)}, {type_and_shape(leaf)}")
    if source.feature_names and torch.is_tensor(source.x):
        left = int(features_left(source.x, source.standardise, True).expand(source.x.shape[1]).sum())
        lines.append(
            f"  features: {source.x.shape[1] - left} standardised, {left} of 0 and 1 or asked for, left as they are"
        )
    lines.append(f"  y: {kind_of_target(source)}")
    lines.append(f"  split: {source.splitter.words(source.target == 'class')}")
    lines += [f"  note: {note[:LONGEST]}{'...' if len(note) > LONGEST else ''}" for note in source.notes[:SHOWN_NOTES]]
    if len(source.notes) > SHOWN_NOTES:
        lines.append(f"  and {len(source.notes) - SHOWN_NOTES} more notes, in source.notes")
    return "\n".join(lines)


def type_and_shape(x: torch.Tensor) -> str:
    """`float32 [rows, 3, 4]`."""
    return f"{str(x.dtype).removeprefix('torch.')} [{', '.join(map(str, ('rows', *x.shape[1:])))}]"


def kind_of_input(x: torch.Tensor) -> str:
    """What an input is taken for."""
    if is_tokens(x):
        return "tokens"
    if x.dtype is torch.bool:
        return "truth values"
    if x.ndim == 4:
        return "images"
    return {1: "one number", 2: "features", 3: "series"}.get(x.ndim, "numbers")


def kind_of_target(source: Any) -> str:
    """What is to be learnt."""
    if source.target == "class":
        names = source.class_names or ()
        shown = f" ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})" if names else ""
        return f"{source.classes} classes{shown}"
    found = {"number": "numbers", "tokens": "tokens", "none": "none"}[source.target]
    return found if source.y is None else f"{found}, {type_and_shape(source.y)}"
