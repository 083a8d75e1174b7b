"""What decides how lanes of a model can be trained."""

from dataclasses import dataclass
from typing import Any

from lanewise.errors import InputError
from lanewise.lanes.attributes.attributes import Attributes

MOST_NAMED = 4


@dataclass(frozen=True)
class ModelTraits:
    """How a model's lanes can be trained.

    Attributes:
        real: why they must run in a real module by plain autograd, or nothing where functions will do.
        stateful: whether a forward pass changes attributes that count, which must go with each lane.
        varies: whether a pass looks at values or draws, so that other steps may use other parameters.
        unused: parameters that had no gradient; in every step if nothing varies. notes: for the user.
        looks: which layer looks at values, so that steps not seen yet may go other ways, or nothing.
        moved: parameters that a pass itself changes.
    """

    real: str = ""
    stateful: bool = False
    varies: bool = False
    unused: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    looks: str = ""
    moved: frozenset[str] = frozenset()

    @property
    def apart(self) -> str:
        """Why lanes cannot be packed though `torch.vmap` may take them, or nothing."""
        if self.real or not (self.looks or (self.varies and self.unused)):
            return self.real
        seen = f" ({named(self.unused)} had no gradient)" if self.unused else ""
        return (
            f"{self.looks or 'the model'} looks at values (.item(), or an if over them) or draws, so that steps may "
            f"use other parameters{seen}, and those without a gradient are left alone, as torch.optim does"
        )


def named(names: Any) -> str:
    """Some names, for a message."""
    every = sorted(names)
    more = f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return ", ".join(every[:MOST_NAMED]) + more


def check_kept(attributes: Attributes) -> None:
    """Raise `InputError` if a forward pass changed what could not be put back."""
    if iterators := attributes.iterators:
        raise InputError(
            f"model: {named(iterators)} is an iterator; what a forward pass takes from it cannot be kept for each "
            "lane: must be a list, or a number that counts"
        )
    if lost := attributes.lost():
        raise InputError(
            f"model: a forward pass changes {named(lost)} to something that cannot be kept for each lane: must be "
            "numbers, text, tensors, or lists and dicts of them"
        )
