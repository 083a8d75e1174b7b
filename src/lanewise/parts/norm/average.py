"""Averaged weights: exponential and uniform, with batch norm statistics of their own.

An average of weights computes other activations than any of the weights it was made of, so running statistics are
neither averaged nor kept: `reestimate` them before evaluating.

The formulas are functions of one tensor, because lanes apply them inside a step, under `torch.func.vmap`, where a
module that changes itself, such as `torch.optim.swa_utils.AveragedModel`, cannot go. `AveragedWeights` applies the same
functions in a plain loop, with a decay that is checked and may change from step to step.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import check_module
from lanewise.errors import InputError
from lanewise.parts.norm.reestimate import Forward, Reestimated, reestimate
from lanewise.parts.part import Allowed, check_number

DECAY = Allowed(0.0, 1.0, high_open=True)


def exponential_average(average: Tensor, value: Tensor, decay: float | Tensor) -> Tensor:
    """decay average + (1 - decay) value; `decay` in [0, 1), a 0-d tensor (a lane's own) is not checked.

    >>> exponential_average(torch.tensor(1.0), torch.tensor(2.0), 0.75).item()
    1.25
    """
    if not isinstance(decay, Tensor):
        check_number("weight average: decay", decay, DECAY)
    return average + (1 - decay) * (value - average)


def uniform_average(average: Tensor, value: Tensor, count: int | Tensor) -> Tensor:
    """The mean of `value` and the `count` values before it, whose mean is `average`.

    >>> uniform_average(torch.tensor(1.0), torch.tensor(4.0), 2).item()
    2.0
    """
    return average + (value - average) / (count + 1)


class AveragedWeights:
    """The average of a model's weights along a plain loop.

    `model` is a copy that holds the average; after `update` its batch norm statistics are those of the last weights,
    until `reestimate` replaces them. The first update copies the weights, as in `torch.optim.swa_utils.AveragedModel`.

    Args:
        model: the model that is trained.
        decay: for an exponential average, share of the old average in the new, in [0, 1); settable between steps.
            None is the uniform average of all updates (stochastic weight averaging).

    Raises:
        InputError: a decay out of range, also when set later.

    Source: Polyak and Juditsky, 1992; Izmailov et al., "Averaging Weights Leads to Wider Optima", 2018.
    """

    def __init__(self, model: nn.Module, decay: float | None = None) -> None:
        check_module("AveragedWeights", model)
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.count = 0
        self.decay = decay

    def __repr__(self) -> str:
        kind = "uniform" if self.decay is None else f"decay={self.decay}"
        return f"AveragedWeights({kind}, of {self.count:,} update(s))"

    @property
    def decay(self) -> float | None:
        """Share of the old average in the new, or None for the uniform average."""
        return self._decay

    @decay.setter
    def decay(self, decay: float | None) -> None:
        if decay is not None:
            check_number("weight average: decay", decay, DECAY)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of `model`; buffers, and parameters that hold integers, are copied."""
        new = dict(model.named_parameters())
        for name, average in self.model.named_parameters():
            value = new[name].to(average.device)
            if self.count == 0 or not (average.is_floating_point() or average.is_complex()):
                average.copy_(value)
            elif self.decay is None:
                average.copy_(uniform_average(average, value, self.count))
            else:
                average.copy_(exponential_average(average, value, self.decay))
        latest = dict(model.named_buffers())
        for name, buffer in self.model.named_buffers():
            buffer.copy_(latest[name])
        self.count += 1

    def reestimate(self, batches: Iterable[Any], forward: Forward | None = None) -> Reestimated:
        """Give the averaged model batch norm statistics of its own: `lanewise.parts.norm.reestimate`."""
        if self.count == 0:
            raise InputError("weight average: 0 updates: must be at least 1 before reestimate")
        return reestimate(self.model, batches, forward)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` of an average of the same kind needs to go on from here."""
        return {"model": self.model.state_dict(), "count": self.count, "decay": self.decay}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.model.load_state_dict(state["model"])
        self.count = state["count"]
        self.decay = state["decay"]
