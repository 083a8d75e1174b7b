"""A batch as the flat list of tensors that a program takes: its inputs' leaves, then its targets if it has any."""

from collections.abc import Sequence

from torch import Tensor

from lanewise.data.arrays.nested import Inputs, Targets, leaves, rebuilt


def batch_leaves(inputs: Inputs, targets: Targets) -> tuple[Tensor, ...]:
    """All tensors of a batch in order.

    >>> import torch
    >>> x, length, y = torch.zeros(4, 3), torch.ones(4), torch.arange(4)
    >>> [tuple(leaf.shape) for leaf in batch_leaves({"x": x, "length": length}, y)]
    [(4, 3), (4,), (4,)]
    """
    return (*leaves(inputs), *(() if targets is None else (targets,)))


class BatchLayout:
    """How the leaves of a batch belong together: learnt from an example, to put others together again.

    Attributes:
        count: how many there are.
    """

    def __init__(self, inputs: Inputs, targets: Targets) -> None:
        self._like, self._inputs = inputs, len(leaves(inputs))
        self.count = self._inputs + (targets is not None)

    def batch(self, flat: Sequence[Tensor]) -> tuple[Inputs, Targets]:
        """(inputs, targets) of the leaves of a batch."""
        inputs = rebuilt(self._like, list(flat[: self._inputs]))
        return inputs, flat[self._inputs] if self.count > self._inputs else None


def micro_batches(flat: Sequence[Tensor], count: int) -> list[tuple[Tensor, ...]]:
    """The leaves of a batch cut into `count` batches of consecutive rows, all of one size."""
    cut = [leaf.reshape(count, len(leaf) // count, *leaf.shape[1:]) for leaf in flat]
    return [tuple(leaf[number] for leaf in cut) for number in range(count)]
