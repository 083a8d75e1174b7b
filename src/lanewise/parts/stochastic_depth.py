"""Stochastic depth: dropout of whole rows of a residual branch, so that a row skips the block."""

import torch
from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.dropout import RATE, Dropout, dropout
from lanewise.parts.part import check_number


def stochastic_depth(branch: Tensor, rate: float | Tensor, uniform: Tensor) -> Tensor:
    """The residual branch's values [N, ...], a row zero with probability `rate`, the others times 1 / (1 - rate).

    Args:
        branch: output of the block's branch, before it is added to its input.
        rate: probability of skipping the branch, in [0, 1); a 0-d tensor is not checked.
        uniform: one draw in [0, 1) a row, [N]; every block of a model takes a draw of its own.

    Raises:
        InputError: `rate` is a Python number outside [0, 1), or there is not one draw a row.

    Source: Huang et al., "Deep Networks with Stochastic Depth", 2016; scaled in training instead of in evaluation.

    >>> stochastic_depth(torch.ones(2, 2), 0.5, torch.tensor([0.1, 0.9])).tolist()
    [[0.0, 0.0], [2.0, 2.0]]
    """
    if uniform.shape != branch.shape[:1]:
        raise InputError(
            f"stochastic depth: {tuple(uniform.shape)} draws: must be one a row, {tuple(branch.shape[:1])}"
        )
    return dropout(branch, rate, uniform.view(-1, *(1,) * (branch.ndim - 1)))


def depth_rates(last: float, blocks: int) -> list[float]:
    """A rate for each block, growing in proportion to its depth up to `last` in [0, 1): the paper's linear rule.

    >>> depth_rates(0.5, 4)
    [0.125, 0.25, 0.375, 0.5]
    """
    check_number("stochastic depth: last", last, RATE)
    if blocks < 1:
        raise InputError(f"stochastic depth: blocks = {blocks}: must be at least 1")
    return [last * (block + 1) / blocks for block in range(blocks)]


class StochasticDepth(Dropout):
    """Stochastic depth as a layer at the end of a residual branch; set `rate` between steps to schedule it.

    Args:
        rate: probability of skipping the branch, in [0, 1).
        generator: where the random numbers come from, on the input's device; None is torch's global one.
    """

    def __init__(self, rate: float, generator: torch.Generator | None = None) -> None:
        super().__init__(rate, kind="rows", generator=generator)
