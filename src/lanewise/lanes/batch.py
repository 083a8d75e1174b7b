"""A batch as the flat list of tensors that a program takes: its inputs' leaves, then its targets if it has any."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_map, tree_unflatten

from lanewise.objectives import Inputs


def batch_leaves(inputs: Inputs, targets: Tensor | None) -> tuple[Tensor, ...]:
    """All tensors of a batch in order.

    >>> import torch
    >>> x, length, y = torch.zeros(4, 3), torch.ones(4), torch.arange(4)
    >>> [tuple(leaf.shape) for leaf in batch_leaves({"x": x, "length": length}, y)]
    [(4, 3), (4,), (4,)]
    """
    return (*tree_leaves(inputs), *(() if targets is None else (targets,)))


class BatchLayout:
    """How the leaves of a batch belong together: learnt from an example, to put others together again."""

    def __init__(self, inputs: Inputs, targets: Tensor | None) -> None:
        leaves, self.spec = tree_flatten(inputs)
        self.count = len(leaves) + (targets is not None)

    spec: TreeSpec

    def batch(self, leaves: Sequence[Tensor]) -> tuple[Inputs, Tensor | None]:
        """(inputs, targets) of the `leaves` of a batch."""
        inputs = self.spec.num_leaves
        return tree_unflatten(leaves[:inputs], self.spec), leaves[inputs] if self.count > inputs else None


def at(nested: Any, index: Any) -> Any:
    """`nested[index]` for every tensor in it; None stays None."""
    return None if nested is None else tree_map(lambda leaf: leaf[index], nested)


def micro_batches(leaves: Sequence[Tensor], count: int) -> list[tuple[Tensor, ...]]:
    """A batch cut into `count` batches of consecutive rows, all of one size."""
    cut = [leaf.reshape(count, len(leaf) // count, *leaf.shape[1:]) for leaf in leaves]
    return [tuple(leaf[number] for leaf in cut) for number in range(count)]
