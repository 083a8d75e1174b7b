"""What the lanes of a repeat share: one copy of what no lane changes, and what is computed once for all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.data.arrays.nested import row_count, take
from lanewise.errors import one_line
from lanewise.lanes.compile.torch_parts import tree_leaves
from lanewise.lanes.frozen.features import Features, is_stored, row_bytes
from lanewise.lanes.frozen.given import Computing
from lanewise.lanes.machine.memory import available_bytes
from lanewise.lanes.model.adapt import adapted
from lanewise.lanes.packs.repeat import Repeat
from lanewise.lanes.step.step import LaneStep

MEASURED_ROWS = 4
MOST_MEMORY = 0.25
"""Share of the memory there is that kept features may take."""
NEAR = {torch.float64: 1e-9, torch.float32: 1e-4}
"""How far features of an example may be from those it has among others, beside the largest."""


class Shared:
    """What lanes with the structure of `step` share in one repeat.

    Args:
        held: what `LaneStep.held_tensors` gives. repeat: whose rows pass. few: some of them, to look at what layers
            return.

    Attributes:
        held: one copy. constants: those of them that programs are given, in order.
        row_bytes: what layers return for a row in training, in bytes.
        features: by mode, what is kept for every row of the pool and then every test row; empty where nothing is.
    """

    def __init__(
        self,
        step: LaneStep,
        held: Mapping[str, Tensor],
        repeat: Repeat,
        few: Callable[[Tensor, bool], tuple[Any, Any]],
    ) -> None:
        self.held = held
        self.constants = tuple(held[name] for name in step.constants)
        self.repeat, self._rows = repeat, few
        training, evaluating = step.computing("train", held), step.computing("eval", held)
        observing = evaluating if step.shared["observe"] else None
        self._computing = {"train": training, "eval": evaluating, "observe": observing}
        self.features: dict[str, Features] = {}
        rows = repeat.split.train[:MEASURED_ROWS]
        self.like = {mode: one(*few(rows, False)) for mode, one in self._computing.items() if one}
        self.row_bytes = row_bytes(self.like["train"]) if training is not None else 0

    def by_row(self) -> bool:
        """Whether what layers return for an example does not depend on the others, nor on the mode."""
        if not {"train", "eval"} <= self.like.keys() or len(self.repeat.split.train) < MEASURED_ROWS:
            return False
        rows = self.repeat.split.train[: MEASURED_ROWS // 2]
        halves = [one(*self._rows(rows, False)) for one in self._computing.values() if one is not None]
        wholes = list(self.like.values())
        first = wholes[0]
        return all(
            len(whole) == len(first)
            and all(leaf.ndim and len(leaf) == MEASURED_ROWS for leaf in whole)
            and all(map(near, whole, first))
            and all(near(leaf[: len(rows)], part) for leaf, part in zip(whole, half, strict=True))
            for whole, half in zip(wholes, halves, strict=True)
        )

    def of_steps(self, x: Any, y: Any, rows: Tensor | None, steps: int, parts: int) -> tuple[Tensor, ...]:
        """What layers are given in training, each tensor [steps, ...], or [steps, parts, ...] of several parts.

        Args:
            x, y: batches [steps, rows, ...]. rows: their numbers in the pool, or None for those of no epoch.
        """
        if self._computing["train"] is None:
            return ()
        found = []
        for at in range(steps):
            batch = take(x, at), take(y, at)
            count = row_count(batch[0])
            size = count // parts
            each = []
            for part in range(parts):
                cut = slice(part * size, (part + 1) * size)
                numbers = None if rows is None else rows[at * count : (at + 1) * count][cut]
                each.append(self.of_rows("train", take(batch[0], cut), take(batch[1], cut), numbers))
            found.append(each[0] if parts == 1 else [stacked(leaves) for leaves in zip(*each, strict=True)])
        return tuple(stacked(leaves) for leaves in zip(*found, strict=True))

    def of_rows(self, mode: str, x: Any, y: Any, rows: Tensor | None = None, test: bool = False) -> list[Tensor]:
        """What layers are given in `mode` for a batch.

        Args:
            x, y: the batch. rows: their numbers in the pool, or among the test rows; None to compute in any case.
        """
        computing = self._computing[mode]
        if computing is None:
            return []
        if rows is None or mode not in self.features:
            return computing(x, y)
        pool = len(self.repeat.holdout.pool)
        return self.features[mode].of(rows + pool if test else rows, self._block(computing, pool))

    def _block(self, computing: Computing, pool: int) -> Callable[[Tensor], Sequence[Tensor]]:
        def compute(numbers: Tensor) -> Sequence[Tensor]:
            parts = [(numbers[numbers < pool], False), (numbers[numbers >= pool] - pool, True)]
            found = [computing(*self._rows(part, test)) for part, test in parts if len(part)]
            return found[0] if len(found) == 1 else [torch.cat(leaves) for leaves in zip(*found, strict=True)]

        return compute


def near(one: Tensor, other: Tensor) -> bool:
    """Whether two features are the same but for rounding; those that have a shape only, if that is the same."""
    if one.shape != other.shape or is_stored(one) != is_stored(other):
        return False
    if not is_stored(one):
        return True
    if not one.is_floating_point():
        return torch.equal(one, other)
    size = float(one.abs().max()) if one.numel() else 0.0
    return bool(((one - other).abs() <= NEAR.get(one.dtype, 1e-2) * max(size, 1e-12)).all())


def stacked(leaves: Any) -> Tensor:
    """Tensors of one shape stacked; those that have a shape only take no memory."""
    if all(map(is_stored, leaves)):
        return torch.stack(leaves)
    first: Tensor = leaves[0]
    return first.expand(len(leaves), *first.shape)


@dataclass
class Sharing:
    """What lanes share, kept for all that come.

    Attributes:
        dtype: of weights and data. device: where they are.
        cache: where what frozen layers return is kept: auto (memory, while there is room), off, or a folder.
        note: gets a line on what is kept, before it is.
    """

    dtype: torch.dtype
    device: torch.device
    cache: str
    note: Callable[[str], None]
    _known: list[dict[str, Tensor]] = field(default_factory=list)
    _shared: dict[tuple[int, str], Shared] = field(default_factory=dict)

    def of(self, step: LaneStep, new: Callable[[], nn.Module], repeat: Repeat) -> Shared:
        """What lanes of `step` share that start from the model that `new()` gives, in `repeat`."""
        key = (repeat.index, sharing_key(step))
        if key not in self._shared:
            held = self._one_copy(step.held_tensors(adapted(new(), step.recipe, step.example)))

            def rows(numbers: Tensor, test: bool) -> tuple[Any, Any]:
                return next(repeat.evaluated([numbers], self.dtype, self.device, test))

            shared = Shared(step, held, repeat, rows)
            alike = (one for (_, other), one in self._shared.items() if other == key[1])
            known = next((one for one in alike if same_input(one, shared)), None)
            kept = {} if not step.costly else self._kept(shared) if known is None else known.features
            shared.features = kept
            self._shared[key] = shared
        found = self._shared[key]
        step.held_of[repeat.index] = found.held
        return found

    def _kept(self, shared: Shared) -> dict[str, Features]:
        """Room for what layers return for every row, where that is the same whenever the row comes."""
        holdout = shared.repeat.holdout
        drawn = not (holdout.pool.in_memory and holdout.test.in_memory)
        if self.cache == "off" or drawn or not shared.like or not shared.by_row():
            return {}
        like = shared.like["eval"]
        rows = len(holdout.pool) + len(holdout.test)
        size = rows * row_bytes(like)
        free = available_bytes(self.device)
        folder = None if self.cache == "auto" else Path(self.cache)
        about = f"what frozen layers return for {rows:,} examples takes {size / 2**20:,.1f} MiB"
        if folder is None and free is not None and size > MOST_MEMORY * free:
            self.note(f"cache: {about}, too much of the memory: not kept; a folder may be given, cache=FOLDER")
            return {}
        try:
            kept = Features(like, rows, folder)
        except (OSError, RuntimeError) as error:
            self.note(f"cache: {about}, which cannot be kept in {folder or 'memory'}: {one_line(error)[:200]}")
            return {}
        self.note(f"cache: {about} of {folder or 'memory'}; each example passes these layers once")
        return dict.fromkeys(shared.like, kept)

    def _one_copy(self, held: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors `held`, or those of an earlier repeat where they are equal, as pretrained weights are."""
        found = {}
        for name, tensor in held.items():
            known = (other[name] for other in self._known if name in other)
            found[name] = next((one for one in known if one.shape == tensor.shape and torch.equal(one, tensor)), tensor)
        self._known.append(found)
        return found


def same_input(one: Shared, other: Shared) -> bool:
    """Whether layers are given the same rows, and hold the same weights, in two repeats."""
    scales = [tree_leaves((shared.repeat.scale.mean, shared.repeat.scale.std)) for shared in (one, other)]
    return (
        one.repeat.holdout is other.repeat.holdout
        and all(a is b for a, b in zip(one.held.values(), other.held.values(), strict=True))
        and all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in zip(*scales, strict=True))
    )


def sharing_key(step: LaneStep) -> str:
    """The same for structures whose lanes share the same."""
    recipe = step.recipe
    calls = {mode: [(call.path, call.number, call.needed) for call in made] for mode, made in step.shared.items()}
    return str((*recipe.sizes.items(), recipe.norm, recipe.norm_groups, recipe.ghost, step.held, step.constants, calls))
