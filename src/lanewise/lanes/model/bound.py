"""A model and its objective in one module, for `torch.func.functional_call`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lanewise.lanes.compile.torch_parts import tree_map
from lanewise.lanes.frozen.calls import SharedCall
from lanewise.lanes.frozen.given import Computing, Given, give
from lanewise.lanes.frozen.kept import put
from lanewise.lanes.model.lane_layers import LaneBatchNorm, start_calls
from lanewise.lanes.model.precision import autocast, widen_outputs, widened
from lanewise.task.objectives import Objective


class Bound(nn.Module):
    """A model with its objective, so that whatever the objective calls of the model finds the lane's tensors."""

    def __init__(self, model: nn.Module, objective: Objective, precision: str, device: torch.device) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self._precision, self._device = precision, device
        self._native = False
        if precision != "float32":
            widen_outputs(model)
            for layer in model.modules():
                if isinstance(layer, nn.LayerNorm):
                    layer.register_forward_pre_hook(self._for_layer_norm)
        self._norms = [layer for layer in model.modules() if isinstance(layer, LaneBatchNorm)]
        self._given: list[Given] = []

    def give(self, calls: Sequence[SharedCall]) -> None:
        """Let the model be given what `calls` return from now on, see `lanewise.lanes.frozen`."""
        self._given = give(self.model, calls)

    def take_native(self, native: bool) -> None:
        """Use torch's own batch norm, for one lane by itself and eagerly, or ours, which can be packed and fused."""
        self._native = native
        for norm in self._norms:
            norm.native = native

    def _for_layer_norm(self, layer: nn.Module, inputs: Any) -> Any:
        """What layer norm is given: packed, torch cannot differentiate it for inputs in less than its own precision."""
        return inputs if self._native else tree_map(widened, inputs)

    def forward(self, what: str, *arguments: Any) -> Any:
        """What the objective's method `what` makes of the model and `arguments`."""
        for given in self._given:
            given.restart()
        with autocast(self._precision, self._device):
            return tree_map(widened, getattr(self.objective, what)(self.model, *arguments))

    def run(self, tensors: dict[str, Tensor], what: str, *arguments: Any) -> tuple[Any, dict[str, Tensor]]:
        """(result, the tensors afterwards): a buffer that the model assigns anew is found there."""
        given = {f"model.{name}": tensor for name, tensor in tensors.items()}
        result = functional_call(self, given, (what, *arguments))
        return result, {name: given[f"model.{name}"] for name in tensors}


def computing(bound: Bound, calls: Sequence[SharedCall], tensors: Mapping[str, Tensor]) -> Computing:
    """What computes `calls` by the model of `bound`, which is its own from now on, with `tensors` in it."""
    bound.take_native(True)
    put(bound.model, tensors)

    def run(*batch: Any) -> None:
        start_calls(bound)
        bound("one_pass", *batch)

    return Computing(bound.model, calls, run)
