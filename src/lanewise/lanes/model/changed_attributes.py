"""Plain attributes that training changes: a model that trains alone, or its average, is evaluated with them.

What a forward pass in training has changed goes with the weights; what an evaluation changes is forgotten.
"""

from torch import nn

from lanewise.lanes.attributes.attributes import Attributes
from lanewise.lanes.attributes.plain_values import Plain
from lanewise.lanes.model.traits import check_kept


class ChangedAttributes:
    """What the model in training keeps beside parameters and buffers, and the model that is evaluated with it.

    Args:
        trained: the model in training. evaluated: the same, or one that holds an average of its weights.
        restored: whether states of the past, or of the other model, are to be had: then all must be plain data.
    """

    def __init__(self, trained: nn.Module, evaluated: nn.Module, restored: bool) -> None:
        self._trained = Attributes(trained)
        self._evaluated = self._trained if evaluated is trained else Attributes(evaluated)
        self._restored = restored
        self.values: dict[str, Plain] | None = None

    def take(self) -> None:
        """Let `values` be what the model in training has changed; None where they could not be put back.

        Raises:
            InputError: they must be put back, and could not be.
        """
        if self._restored:
            check_kept(self._trained)
        self.values = None if self._trained.lost() else self._trained.changed()

    def put(self) -> None:
        """Let the evaluated model have `values`, whatever it had, in training mode, in which they were taken."""
        if self.values is not None:
            self._evaluated.model.train()
            self._evaluated.put(self.values)
