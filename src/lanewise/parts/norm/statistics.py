"""Mean and variance of many batches from those of each: pooled, weighted by size, in any order."""

from typing import NamedTuple

import torch
from torch import Tensor


class Statistics(NamedTuple):
    """What is known of a channel's values so far; the tensors are [C], or [lane, C] for many lanes.

    `number` is the number of values per channel, `mean` their mean, `squares` the sum of their squared distances to it.
    """

    number: float | Tensor
    mean: Tensor
    squares: Tensor

    @property
    def variance(self) -> Tensor:
        """Unbiased variance; NaN or infinite for fewer than two values."""
        return self.squares / (self.number - 1)


def merged(a: Statistics, b: Statistics) -> Statistics:
    """The statistics of the values of `a` and `b` together.

        mean = mean_a + (mean_b - mean_a) n_b / n
        squares = squares_a + squares_b + (mean_b - mean_a)^2 n_a n_b / n

    The last term is what the batches' means differ by. An average of the batches' variances lacks it, and numbers a
    short batch like a long one.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.

    >>> two = Statistics(2, torch.tensor(1.0), torch.tensor(2.0))  # of 0 and 2
    >>> one = Statistics(1, torch.tensor(4.0), torch.tensor(0.0))
    >>> merged(two, one).mean.item(), merged(two, one).variance.item()
    (2.0, 4.0)
    """
    number = a.number + b.number
    difference = b.mean - a.mean
    mean = a.mean + difference * (b.number / number)
    return Statistics(number, mean, a.squares + b.squares + difference**2 * (a.number * b.number / number))


def of_channels(x: Tensor) -> Statistics:
    """The statistics of one batch `x` [N, C, ...]: added up in float64, with distances in the precision of `x`.

    >>> of_channels(torch.tensor([[0.0], [2.0], [4.0]])).squares.tolist()
    [8.0]
    """
    values = x.transpose(0, 1).flatten(1)
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    mean = values.mean(1, dtype=torch.float64)
    # Four times as fast as in float64 throughout; what rounding the mean adds to the squares is taken off again.
    middle = mean.to(values.dtype)
    distances = values - middle[:, None]
    squares = (distances * distances).sum(1, dtype=torch.float64)
    return Statistics(values.shape[1], mean, squares - values.shape[1] * (mean - middle) ** 2)
