"""The one copy that lanes share, of repeat after repeat and structure after structure."""

import torch
from torch import Tensor, nn

from lanewise.lanes.packs.feed import Repeat
from lanewise.lanes.packs.shared import MEASURED_ROWS, Shared
from lanewise.lanes.step.step import LaneStep


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
            held = self._one_copy(step.held_tensors(model))
            x, y = repeat.rows(repeat.split.train[:MEASURED_ROWS], self._dtype, self._device)
            self._shared[key] = Shared(step, held, x, y)
        return self._shared[key]

    def _one_copy(self, held: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors `held`, or equal ones that are held already: pretrained weights are those of every repeat."""
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
