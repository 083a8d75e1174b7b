"""Label smoothing: cross entropy against labels that leave some probability to every class."""

from torch import Tensor, long
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number

SMOOTHING = Allowed(0.0, 1.0)


def smoothed_cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float | Tensor = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Mean over rows (and space) of -sum_k q_k log p_k with q_k = (1 - smoothing) [k = label] + smoothing / K.

    Args:
        logits: scores of K classes, [N, K] or [N, K, ...]; p is their softmax.
        labels: class numbers in [0, K) of an integer type, [N] or [N, ...].
        smoothing: probability spread evenly over all K classes, in [0, 1]; a 0-d tensor is not checked.
        weights: factor w_k of each class's term, [K], or None for 1; the sum is then divided by that of w_label over
            rows, as `torch.nn.functional.cross_entropy` does.

    Returns:
        The loss, 0-d, in nats.

    Raises:
        InputError: `smoothing` is a Python number outside [0, 1], or labels of another shape or type.

    Source: Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7.

    >>> import torch
    >>> round(float(smoothed_cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1]), 0.1)), 4)
    0.6931
    """
    if not isinstance(smoothing, Tensor):
        check_number("label smoothing: smoothing", smoothing, SMOOTHING)
    check_labels(logits, labels)
    log_p = F.log_softmax(logits, dim=1)
    index = labels.to(long).unsqueeze(1)
    if weights is None:
        return -(1 - smoothing) * log_p.gather(1, index).mean() - smoothing * log_p.mean()
    log_p = log_p * weights.view(-1, *[1] * (logits.ndim - 2))
    each = (1 - smoothing) * log_p.gather(1, index).squeeze(1) + smoothing * log_p.mean(1)
    return -each.sum() / weights[labels.to(long)].sum()


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raise `InputError` unless `labels` gives one class number for every row (and place) of `logits`."""
    wanted = (logits.shape[0], *logits.shape[2:]) if logits.ndim > 1 else None
    if labels.shape != wanted or labels.is_floating_point():
        raise InputError(
            f"cross entropy: logits {tuple(logits.shape)} and labels {tuple(labels.shape)} of type {labels.dtype}: "
            "must be [N, K, ...] and [N, ...] of an integer type"
        )
