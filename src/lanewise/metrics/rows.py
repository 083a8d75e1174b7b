"""What a model's outputs give for each row: its score, or the components that make the score of a set."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lanewise.data.arrays.targets import IGNORED


def cross_entropies(outputs: Tensor, targets: Tensor) -> Tensor:
    """The cross entropy of scores [rows, classes] and a label of each row, [rows]."""
    # Where rows are packed torch takes its own function apart, by a module that takes half a second to import.
    return F.log_softmax(outputs, dim=1).gather(1, targets[:, None])[:, 0].neg()


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 for each row whose largest score is that of the target, else 0."""
    return (outputs.argmax(-1) == targets).to(outputs.dtype)


def correct_in_five(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 for each row whose target has one of the five largest scores, else 0."""
    best = outputs.topk(min(5, outputs.shape[-1]), dim=-1).indices
    return (best == targets.unsqueeze(-1)).any(-1).to(outputs.dtype)


def predicted(outputs: Tensor, targets: Tensor) -> Tensor:
    """The class with the largest score, [rows]."""
    return outputs.argmax(-1).to(outputs.dtype)


def class_scores(outputs: Tensor, targets: Tensor) -> Tensor:
    """What ranks rows by how likely each class is: of two classes the log odds [rows], else log p [rows, classes].

    Logarithms, because probabilities near 1 would be rounded to ties.
    """
    if outputs.shape[-1] == 2:
        return outputs[..., 1] - outputs[..., 0]
    return F.log_softmax(outputs, -1)


def token_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of each row, the share of its tokens whose largest score is that of the target."""
    counted = (targets != IGNORED).to(outputs.dtype)
    return (correct(outputs, targets) * counted).sum(-1) / counted.sum(-1).clamp(min=1)


def token_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of each row, the mean cross entropy of its tokens, in nats."""
    counted = targets != IGNORED
    of_target = F.log_softmax(outputs, -1).gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -torch.where(counted, of_target, 0.0).sum(-1) / counted.to(outputs.dtype).sum(-1).clamp(min=1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of each row, the squared error, the mean over its numbers."""
    return (outputs - targets).square().reshape(len(targets), -1).mean(-1)


def errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Output minus target of every number of a row, [rows, numbers], in the unit that is trained on."""
    found: Tensor = (outputs - targets).reshape(len(targets), -1)
    return found
