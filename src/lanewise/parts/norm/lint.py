"""A lint for dropout in front of batch norm: training stores another variance than evaluation sees."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from lanewise.parts.dropout import RATE, Dropout
from lanewise.parts.norm.flow import DROPOUTS, NORMS, Flow, flows, source
from lanewise.parts.norm.reestimate import Forward, run
from lanewise.parts.norm.statistics import Statistics, merged, of_channels
from lanewise.parts.norm.watch import watched
from lanewise.parts.part import check_number

DROPOUT_FUNCTIONS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, torch.dropout)
RELUS = (F.relu, torch.relu, "relu")
# Of max(0, z), z standard normal: mean 1/sqrt(2 pi), variance 1/2 - 1/(2 pi), so mean^2/variance = 1/(pi - 1).
RELU_OF_NORMAL = 1 / (math.pi - 1)


@dataclass(frozen=True)
class NormFinding:
    """A dropout whose noise goes into the running variance of a batch norm.

    `factor` is stored variance over the variance in evaluation, `basis` what it rests on.
    """

    dropout: str
    norm: str
    rate: float
    factor: float
    basis: str

    def __str__(self) -> str:
        return (
            f"dropout {self.dropout} (rate {self.rate:g}) is in front of batch norm {self.norm}: in training it stores "
            f"{self.factor:.3g} times the variance that evaluation sees ({self.basis}); put dropout behind the last "
            "batch norm, or reestimate the running statistics after training"
        )


def variance_shift(rate: float, mean: Tensor, var: Tensor) -> Tensor:
    """Stored variance over evaluated variance of a batch norm behind dropout: (1 + rate mean^2/var) / (1 - rate).

    A kept value is x / (1 - rate), so E[y^2] = (var + mean^2) / (1 - rate) while E[y] = mean. A layer that sums many
    independent inputs of this kind passes the factor on.

    Args:
        rate: the dropout's, in [0, 1).
        mean: of the dropout's input, per channel [C] or 0-d.
        var: of the dropout's input, of the same shape.

    Source: Li et al., "Understanding the Disharmony between Dropout and Batch Normalization", 2019.

    >>> variance_shift(0.5, torch.tensor(0.0), torch.tensor(1.0)).item()
    2.0
    """
    check_number("variance_shift: rate", rate, RATE)
    return (1 + rate * mean.square() / var) / (1 - rate)


def lint_norm(
    model: nn.Module, batches: Iterable[Any] | None = None, forward: Forward | None = None
) -> list[NormFinding]:
    """Name every dropout whose output reaches a batch norm, and the factor by which its variance is off.

    Layers in between are followed until the first norm; a layer or group norm ends the path, because it computes its
    statistics in evaluation too. Dropout is found as a layer and as a function, in as much of the model as `torch.fx`
    can trace.

    Args:
        model: any module; it is left as it is.
        batches: inputs (as for `reestimate`) to measure the mean and variance in front of each dropout layer. Without
            them, a dropout behind a ReLU is taken to see ReLU of standard normal values, any other one zero mean, for
            which the factor is smallest.
        forward: how to run the model on one batch, where `model(input)` is not it.

    Returns:
        One finding for each pair of a dropout and a batch norm.

    >>> model = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 4), nn.BatchNorm1d(4))
    >>> [(found.dropout, found.norm, round(found.factor, 2)) for found in lint_norm(model)]
    [('1', '3', 2.47)]
    """
    measured = {} if batches is None else measure(model, batches, forward)
    findings = []
    for flow in flows(model, training=True):
        for node in flow.graph.nodes:
            rate = dropout_rate(flow, node)
            if rate:
                name = flow.name(node) if node.op == "call_module" else f"{flow.prefix}{node.name}()"
                factor, basis = shift_at(flow, node, rate, measured.get(name))
                findings += [NormFinding(name, norm, rate, factor, basis) for norm in norms_behind(flow, node)]
    return findings


def dropout_rate(flow: Flow, node: fx.Node) -> float:
    """The rate of the dropout that `node` applies in training, 0 where it applies none."""
    layer = flow.layer(node)
    if isinstance(layer, DROPOUTS):
        return layer.rate if isinstance(layer, Dropout) else float(layer.p)
    if node.op == "call_function" and node.target in DROPOUT_FUNCTIONS:
        given: dict[str, Any] = {"p": 0.5, "training": True}
        given |= dict(zip(("input", "p", "training"), node.args, strict=False)) | node.kwargs
        return float(given["p"]) if given["training"] else 0.0
    return 0.0


def norms_behind(flow: Flow, node: fx.Node) -> list[str]:
    """Names of the batch norms that the output of `node` reaches without passing another norm."""
    names: dict[str, None] = {}
    seen: set[fx.Node] = set()
    ahead = list(node.users)
    while ahead:
        step = ahead.pop(0)
        if step in seen:
            continue
        seen.add(step)
        layer = flow.layer(step)
        if isinstance(layer, _BatchNorm):
            names[flow.name(step)] = None
        elif not isinstance(layer, NORMS):
            ahead += step.users
    return list(names)


def shift_at(flow: Flow, node: fx.Node, rate: float, seen: Statistics | None) -> tuple[float, str]:
    """The factor behind the dropout `node`, and what it rests on."""
    if seen is not None:
        # All channels together, as a layer with weights of one size mixes them; channels that are always zero drop out.
        return float(variance_shift(rate, seen.mean.square().sum().sqrt(), seen.variance.sum())), "measured"
    front = source(node)
    behind_relu = front is not None and (isinstance(flow.layer(front), nn.ReLU) or front.target in RELUS)
    if behind_relu:
        ratio = torch.tensor(RELU_OF_NORMAL, dtype=torch.float64)
        return float(variance_shift(rate, ratio.sqrt(), torch.ones_like(ratio))), "for ReLU of standard normal values"
    return 1 / (1 - rate), "for values of zero mean, else more"


def measure(model: nn.Module, batches: Iterable[Any], forward: Forward | None) -> dict[str, Statistics]:
    """Mean and variance per channel of the input of each dropout layer, in evaluation, by the layer's name."""
    totals: dict[str, Statistics] = {}

    def note(name: str, x: Tensor) -> None:
        seen = of_channels(x)
        totals[name] = merged(totals[name], seen) if name in totals else seen

    with watched(model, DROPOUTS, note):
        for batch in batches:
            (forward or run)(model, batch)
    return totals
