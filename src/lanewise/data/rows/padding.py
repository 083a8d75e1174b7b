"""Batches that the user's own `collate_fn` pads to their longest row, padded on to the longest row of all.

Lanes take batches of one shape. What a `collate_fn` pads with, and at which end, is learnt from what it makes of a
short row beside a long one.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lanewise.data.arrays.nested import branches, leaves, rebuilt
from lanewise.data.rows.items import Batch
from lanewise.data.rows.rows import Rows
from lanewise.errors import InputError

Shapes = tuple[tuple[int, ...], ...]
"""The shape of one row of every tensor of a batch: of its inputs, then of its targets."""


@dataclass(frozen=True)
class Pad:
    """How one tensor of a batch is padded.

    Attributes:
        shape: of a row, padded. value: what is put there. before: of every axis, whether it stands before the values.
    """

    shape: tuple[int, ...]
    value: float
    before: tuple[bool, ...]

    def applied(self, where: str, x: torch.Tensor) -> torch.Tensor:
        """`x` [rows, ...] as [rows, *shape]."""
        found = tuple(x.shape[1:])
        if found == self.shape:
            return x
        if len(found) != len(self.shape) or any(size > most for size, most in zip(found, self.shape, strict=True)):
            raise InputError(
                f"{where} has rows of shape {list(found)}, and the longest were {list(self.shape)} at first: lengths"
                " must be the same every time"
            )
        out = x.new_full((len(x), *self.shape), self.value)
        out[(slice(None), *self.place(found))] = x
        return out

    def place(self, shape: Sequence[int]) -> tuple[slice, ...]:
        """Where the values of a row of `shape` stand."""
        sides = zip(shape, self.shape, self.before, strict=True)
        return tuple(slice(most - size, most) if before else slice(size) for size, most, before in sides)


@dataclass(frozen=True)
class Padding:
    """How every tensor of a batch is padded, its inputs' and then its targets'; None for those that need none."""

    pads: tuple[Pad | None, ...]

    def applied(self, where: str, batch: Batch) -> Batch:
        """The batch, every tensor in the shape that all batches have."""
        x, y = batch
        names = [*branches(f"{where} x", x), f"{where} y"]
        flat = [
            leaf if pad is None else pad.applied(name, leaf)
            for name, leaf, pad in zip(names, tensors(batch), self.pads, strict=False)
        ]
        return rebuilt(x, flat[: len(leaves(x))]), None if y is None else flat[-1]


def tensors(batch: Batch) -> list[torch.Tensor]:
    """The tensors of a batch."""
    x, y = batch
    return [*leaves(x), *(() if y is None else (y,))]


def row_shapes(batch: Batch) -> Shapes:
    """The shape of a row of every tensor."""
    return tuple(tuple(leaf.shape[1:]) for leaf in tensors(batch))


def learnt_padding(where: str, parts: dict[str, Rows], shapes: dict[str, list[Shapes]]) -> Padding | None:
    """How batches of `parts` are padded to one shape, or None where all rows have one.

    Args:
        shapes: of every row of each part, put together alone.

    Raises:
        InputError: rows of different axes, or a `collate_fn` whose padding is no single number at one end.
    """
    every = [shape for part in shapes.values() for shape in part]
    if len(set(every)) == 1:
        return None
    pads: list[Pad | None] = []
    for number in range(len(every[0])):
        found = {shape[number] for shape in every}
        if len({len(shape) for shape in found}) > 1:
            raise InputError(f"{where} rows have different numbers of axes ({sorted(found)[:3]}): must be alike")
        most = tuple(max(sizes) for sizes in zip(*found, strict=True))
        if len(found) == 1:
            pads.append(None)
            continue
        # Of the part where they differ, or of training rows padded on to the longest of another part.
        name = next((part for part in shapes if len({shape[number] for shape in shapes[part]}) > 1), None)
        if name is None:
            raise InputError(
                f"{where} rows of {' and '.join(parts)} have different shapes, and all of a part the same"
                f" ({', '.join(map(str, sorted(map(list, found))))}): must be alike"
            )
        value, before = probed(where, parts[name], [shape[number] for shape in shapes[name]], number)
        pads.append(Pad(most, value, before))
    return Padding(tuple(pads))


def probed(where: str, rows: Rows, shapes: list[tuple[int, ...]], number: int) -> tuple[float, tuple[bool, ...]]:
    """(value, whether it stands before, of every axis) of what a short row is padded with beside long ones."""
    axes = range(len(shapes[0]))
    short = min(range(len(shapes)), key=lambda row: (sum(shapes[row]), row))
    longest = sorted({max(range(len(shapes)), key=lambda row, axis=axis: shapes[row][axis]) for axis in axes})  # type: ignore[misc]
    alone = tensors(rows.take(torch.tensor([short])))[number][0]
    together = tensors(rows.take(torch.tensor([short, *(row for row in longest if row != short)])))[number]
    # A collate_fn may sort its rows by length.
    for row in together:
        for before in itertools.product((False, True), repeat=len(axes)):
            pad = Pad(tuple(row.shape), 0, before)
            place = pad.place(alone.shape)
            rest = torch.ones(row.shape, dtype=torch.bool)
            rest[place] = False
            fill = row[rest]
            if len(fill) and torch.equal(row[place], alone) and bool((fill == fill[0]).all()):
                return fill[0].item(), before
    raise InputError(
        f"{where} collate_fn pads rows of different lengths otherwise than by one number at one end: pad all rows to"
        " one length"
    )


def padding_note(where: str, x: object, padding: Padding) -> str:
    """What is padded, to what and with what."""
    names = [*branches("x", x), "y"]
    told = [
        f"{name} to {list(pad.shape)} with {pad.value:g}"
        for name, pad in zip(names, padding.pads, strict=False)
        if pad is not None
    ]
    how = "batches are padded to the longest of all, as collate_fn does"
    return f"{where} rows differ in length: {how} ({', '.join(told)})"
