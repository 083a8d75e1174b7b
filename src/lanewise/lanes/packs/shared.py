"""What the lanes of a repeat share: one copy of what no lane changes, and what is computed once for all of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.data.arrays.nested import row_count, take
from lanewise.lanes.model.adapt import adapted
from lanewise.lanes.packs.repeat import Repeat
from lanewise.lanes.step.step import LaneStep

MEASURED_ROWS = 2


class Shared:
    """What lanes with the structure of `step` share in one repeat.

    Args:
        held: what `LaneStep.held_tensors` gives.
        x, y: some rows, to measure what layers return.

    Attributes:
        held: one copy. constants: those of them that programs are given, in order.
        row_bytes: what layers return for a row, in bytes.
    """

    def __init__(self, step: LaneStep, held: Mapping[str, Tensor], x: Any, y: Any) -> None:
        self.held = held
        self.constants = tuple(held[name] for name in step.constants)
        self._training = step.computing("train", held)
        evaluating = step.computing("eval", held)
        self._evaluating = {"eval": evaluating, "listen": evaluating if step.shared["listen"] else None}
        self.row_bytes = 0
        if self._training is not None:
            few = slice(MEASURED_ROWS)
            found = self._training(take(x, few), take(y, few))
            total = sum(leaf.numel() * leaf.element_size() for leaf in found if is_stored(leaf))
            self.row_bytes = -(-total // row_count(take(x, few)))

    def of_steps(self, x: Any, y: Any, rows: Tensor | None, steps: int, parts: int) -> tuple[Tensor, ...]:
        """What layers are given in training, each tensor [steps, ...], or [steps, parts, ...] of several parts.

        Args:
            x, y: batches [steps, rows, ...]. rows: their numbers in the pool, where they are not augmented.
        """
        if self._training is None:
            return ()
        found = []
        for at in range(steps):
            batch = take(x, at), take(y, at)
            size = row_count(batch[0]) // parts
            cut = [slice(part * size, (part + 1) * size) for part in range(parts)]
            each = [self._training(take(batch[0], part), take(batch[1], part)) for part in cut]
            found.append(each[0] if parts == 1 else [stacked(leaves) for leaves in zip(*each, strict=True)])
        return tuple(stacked(leaves) for leaves in zip(*found, strict=True))

    def of_rows(self, mode: str, x: Any, y: Any, rows: Tensor | None = None, test: bool = False) -> list[Tensor]:
        """What layers are given in `mode`, in which nothing is trained.

        Args:
            x, y: a batch. rows: their numbers in the pool, or among the test rows.
        """
        computing = self._evaluating[mode]
        return [] if computing is None else computing(x, y)


def is_stored(leaf: Tensor) -> bool:
    """Whether `leaf` has values, not a shape only."""
    return leaf.ndim == 0 or any(leaf.stride())


def stacked(leaves: Any) -> Tensor:
    """Tensors of one shape stacked; those that have a shape only take no memory."""
    if all(map(is_stored, leaves)):
        return torch.stack(leaves)
    first: Tensor = leaves[0]
    return first.expand(len(leaves), *first.shape)


class Sharing:
    """What lanes share, kept for all that come.

    Args:
        dtype: of weights and data. device: where they are.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self._held: list[dict[str, Tensor]] = []
        self._shared: dict[tuple[int, str], Shared] = {}

    def of(self, step: LaneStep, model: nn.Module, repeat: Repeat) -> Shared:
        """What lanes of `step` share that start from `model`, in `repeat`."""
        key = (repeat.index, sharing_key(step))
        if key not in self._shared:
            held = self._one_copy(step.held_tensors(adapted(model, step.recipe, step.example)))
            x, y = repeat.rows(repeat.split.train[:MEASURED_ROWS], self._dtype, self._device)
            self._shared[key] = Shared(step, held, x, y)
        step.held_of[repeat.index] = self._shared[key].held
        return self._shared[key]

    def _one_copy(self, held: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors `held`, or what is already held of the same values: pretrained weights are those of every repeat."""
        found = {}
        for name, tensor in held.items():
            known = (other[name] for other in self._held if name in other)
            found[name] = next((one for one in known if one.shape == tensor.shape and torch.equal(one, tensor)), tensor)
        self._held.append(found)
        return found


def sharing_key(step: LaneStep) -> str:
    """The same for structures whose lanes share the same."""
    recipe = step.recipe
    calls = {mode: [(call.path, call.number, call.needed) for call in made] for mode, made in step.shared.items()}
    return str((recipe.width, recipe.norm, recipe.norm_groups, recipe.ghost, step.constants, calls))
