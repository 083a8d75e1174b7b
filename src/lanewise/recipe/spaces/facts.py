"""What a space is made from: a few facts of the model, the data and the objective."""

import math
from dataclasses import dataclass, replace

from lanewise.errors import InputError

KINDS = ("vision", "text", "table", "finetune")
"""Kinds of task that have a space of their own."""
SMALLEST_BATCH, LARGEST_BATCH = 8, 128
STEPS_OF_AN_EPOCH = 16
"""Steps that an epoch of the usual batch size has, at least where the smallest batch allows it."""
UNBALANCED = 4.0
"""Times that the largest class is larger than the smallest from which on classes are called unbalanced."""


@dataclass(frozen=True)
class Facts:
    """What is known of a task before anything is trained.

    Attributes:
        rows: examples that a run trains on. epochs: of a run. batch_size: that the user gave, or None.
        pictures: whether an input is a picture. sequence: whether the model reads sequences (recurrent, attention or
            embedding layers, tokens). pretrained: whether its weights are the same whatever the seed.
        smooths: whether the objective has labels to smooth. mixes: whether inputs can be blended.
        matrices: whether some weight is a matrix. dropout: rates of the dropout layers. depth: of those
            of stochastic depth. norm_momentum: momentum of each batch norm layer, None for a plain average.
        converts: whether the batch norm can become a layer norm. imbalance: examples of the largest class divided by
            those of the smallest; 1 where there are no classes. weighed: whether classes have weights.
        layers: of which some weight trains. new_parts: names of what is drawn anew in a pretrained model, such as the
            head: `fc.*`.
    """

    rows: int
    epochs: int = 20
    batch_size: int | None = None
    pictures: bool = False
    sequence: bool = False
    pretrained: bool = False
    smooths: bool = False
    mixes: bool = False
    matrices: bool = True
    dropout: tuple[float, ...] = ()
    depth: tuple[float, ...] = ()
    norm_momentum: tuple[float | None, ...] = ()
    converts: bool = False
    imbalance: float = 1.0
    weighed: bool = False
    layers: int = 1
    new_parts: tuple[str, ...] = ()

    def of_kind(self, kind: str) -> "Facts":
        """The same task taken as one of `kind`, whatever it looks like.

        Raises:
            InputError: there is no such kind.
        """
        if kind not in KINDS:
            raise InputError(f"space {kind!r}: must be one of {', '.join(KINDS)}")
        if kind == "finetune":
            return replace(self, pretrained=True)
        return replace(self, pictures=kind == "vision", sequence=kind == "text", pretrained=False, new_parts=())

    @property
    def kind(self) -> str:
        """Which of `KINDS` the task is of."""
        if self.pretrained:
            return "finetune"
        return "vision" if self.pictures else "text" if self.sequence else "table"

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Batch sizes that fit the examples, the usual one first.

        >>> Facts(rows=1_078).batch_sizes, Facts(rows=100).batch_sizes, Facts(rows=45_000).batch_sizes
        ((64, 32), (8,), (128, 64))
        """
        if self.batch_size is not None:
            return (self.batch_size,)
        fitting = 2 ** int(math.log2(max(1, self.rows / STEPS_OF_AN_EPOCH)))
        # Two batches at least: how many examples there are is known roughly.
        usual = max(1, min(max(SMALLEST_BATCH, min(LARGEST_BATCH, fitting)), self.rows // 2))
        return (usual, usual // 2) if usual >= 2 * SMALLEST_BATCH else (usual,)

    @property
    def steps(self) -> int:
        """Steps of a run at the usual batch size."""
        return self.epochs * max(1, math.ceil(self.rows / self.batch_sizes[0]))
