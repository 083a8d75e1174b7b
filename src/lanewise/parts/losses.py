"""Losses: squared error under the three names it goes by, and cross entropy.

The three squared errors differ by constant factors, so one's best rate and decay are another's times such a factor.
"""

from collections.abc import Callable

from torch import Tensor

from lanewise.errors import InputError
from lanewise.parts.smoothing import smoothed_cross_entropy


def half_sum(prediction: Tensor, target: Tensor) -> Tensor:
    """1/2 sum (prediction - target)^2 over all values; the gradient is the plain difference.

    Args:
        prediction: outputs of the model, [m, ...] for m rows.
        target: values of the same shape.

    Returns:
        The loss, 0-d.

    Raises:
        InputError: shapes that differ; [m] against [m, 1] would be broadcast to [m, m].

    >>> import torch
    >>> half_sum(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)).item()
    15.0
    """
    return 0.5 * squares(prediction, target).sum()


def mean(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of (prediction - target)^2 over all values, as `torch.nn.MSELoss`; arguments and errors of `half_sum`.

    >>> import torch
    >>> mean(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)).item()
    7.5
    """
    return squares(prediction, target).mean()


def half_mean(prediction: Tensor, target: Tensor) -> Tensor:
    """1/(2m) sum (prediction - target)^2 for m rows: the sum is over all values; arguments and errors of `half_sum`.

    >>> import torch
    >>> half_mean(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)).item()
    7.5
    """
    return half_sum(prediction, target) / len(prediction)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[label], in nats; `smoothed_cross_entropy` without smoothing, with its errors.

    >>> import torch
    >>> round(cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item(), 4)
    0.6931
    """
    return smoothed_cross_entropy(logits, labels, 0.0)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "half_sum": half_sum,
    "mean": mean,
    "half_mean": half_mean,
    "cross_entropy": cross_entropy,
}


def squares(prediction: Tensor, target: Tensor) -> Tensor:
    """(prediction - target)^2, value by value."""
    if prediction.shape != target.shape or prediction.ndim == 0:
        raise InputError(
            f"squared error: prediction {tuple(prediction.shape)} and target {tuple(target.shape)}: must be of one "
            "shape [m, ...]"
        )
    return (prediction - target).square()
