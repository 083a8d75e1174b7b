"""A lint for dropout in front of batch norm: training stores another variance than evaluation sees."""

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from lanewise.base.torch_modules import AnyBatchNorm, check_module
from lanewise.parts.dropout import RATE, Dropout
from lanewise.parts.norm.flow import DROPOUTS, NORMS, Flow, calls, flows, source
from lanewise.parts.norm.reestimate import Forward, run
from lanewise.parts.norm.statistics import Statistics, merged, of_channels
from lanewise.parts.norm.watch import watched
from lanewise.parts.part import check_number

DROPOUT_FUNCTIONS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, torch.dropout)
SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
RELUS = (F.relu, torch.relu, "relu")
# Of max(0, z), z standard normal: mean 1/sqrt(2 pi), variance 1/2 - 1/(2 pi), so mean^2/variance = 1/(pi - 1).
RELU_OF_NORMAL = 1 / (math.pi - 1)
HALF = 0.5
"""A branch's share of the variance of a sum, where nothing was measured: that of two equal, independent terms."""


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
    independent inputs of this kind passes the factor on. A sum with values z that have no such noise, as of a residual
    branch and the block's input, dilutes it to 1 + (factor - 1) Var[x] / Var[x + z].

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
    statistics in evaluation too. Where a residual branch is added to its input only the branch carries the noise, be
    it of dropout or of stochastic depth: the factor shrinks with the branch's share of the sum's variance. Dropout is
    found as a layer and as a function, in as much of the model as `torch.fx` can trace.

    Args:
        model: any module; it is left as it is.
        batches: inputs (as for `reestimate`) to measure the mean and variance in front of each dropout layer, and the
            terms of sums. Without them, a dropout behind a ReLU is taken to see ReLU of standard normal values, any
            other one zero mean, for which the factor is smallest, and the terms of a sum to be equal and independent.
        forward: how to run the model on one batch, where `model(input)` is not it.

    Returns:
        One finding for each pair of a dropout and a batch norm.

    >>> model = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 4), nn.BatchNorm1d(4))
    >>> [(found.dropout, found.norm, round(found.factor, 2)) for found in lint_norm(model)]
    [('1', '3', 2.47)]
    """
    check_module("lint_norm", model)
    found = flows(model, training=True)
    measured = Measured() if batches is None else measure(model, found, batches, forward)
    findings = []
    for flow in found:
        for node in flow.graph.nodes:
            rate = dropout_rate(flow, node)
            if rate:
                name = flow.name(node) if node.op == "call_module" else f"{flow.prefix}{node.name}()"
                factor, basis = shift_at(flow, node, rate, measured.inputs.get(name))
                for norm, share, is_known in norms_behind(flow, node, measured):
                    told = basis if is_known else f"{basis}; the terms of a sum taken to be equal"
                    findings.append(NormFinding(name, norm, rate, 1 + (factor - 1) * share, told))
    return findings


@dataclass(frozen=True)
class Measured:
    """What went into layers and came out of them in evaluation, by the layer's name."""

    inputs: dict[str, Statistics] = field(default_factory=dict)
    outputs: dict[str, Statistics] = field(default_factory=dict)

    def variance(self, flow: Flow, node: fx.Node) -> float | None:
        """Variance of what `node` gives, all channels together, if a layer in front of it or behind it was watched."""
        seen = self.outputs.get(flow.name(node)) if node.op == "call_module" else None
        for user in node.users:
            if seen is None and user.op == "call_module" and source(user) is node:
                seen = self.inputs.get(flow.name(user))
        return None if seen is None else float(seen.variance.sum())


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


def norms_behind(flow: Flow, node: fx.Node, measured: Measured) -> list[tuple[str, float, bool]]:
    """The batch norms that the output of `node` reaches without passing another norm.

    Returns:
        Of each its name, the share of the variance in front of it that came through `node`, and whether that share is
        known: without measurements a sum leaves half. Where ways meet, the larger share counts.
    """
    norms: dict[str, tuple[float, bool]] = {}
    carried = {node: (1.0, True)}
    for step in flow.graph.nodes:
        noisy = [given for given in step.all_input_nodes if given in carried]
        if not noisy:
            continue
        share, is_known = max(carried[given] for given in noisy)
        layer = flow.layer(step)
        if isinstance(layer, AnyBatchNorm):
            norms[flow.name(step)] = share, is_known
        elif not isinstance(layer, NORMS):
            # A parameter that is added has no variance.
            others = [given for given in step.all_input_nodes if given not in carried and given.op != "get_attr"]
            if step.target in SUMS and others:
                part, whole = measured.variance(flow, noisy[0]), measured.variance(flow, step)
                share *= part / whole if part is not None and whole else HALF
                is_known = is_known and part is not None and bool(whole)
            carried[step] = share, is_known
    return [(name, *found) for name, found in norms.items()]


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


def measure(model: nn.Module, found: list[Flow], batches: Iterable[Any], forward: Forward | None) -> Measured:
    """Mean and variance per channel, in evaluation, of the input of each dropout layer and around every other one.

    Layers that are called more than once are left out, as their calls would be ambiguous; dropouts are not.
    """
    totals, times = Measured(), calls(found)
    layers = {flow.name(node): flow.layer(node) for flow in found for node in flow.graph.nodes if flow.layer(node)}
    once = {name for name, layer in layers.items() if layer is not None and times[layer] == 1}

    def note(into: dict[str, Statistics], name: str, x: Any) -> None:
        if isinstance(x, Tensor) and x.ndim > 1 and x.is_floating_point():
            seen = of_channels(x)
            into[name] = merged(into[name], seen) if name in into else seen

    def before(name: str) -> Callable[..., None]:
        return lambda layer, given: note(totals.inputs, name, given[0] if given else None)

    def after(name: str) -> Callable[..., None]:
        return lambda layer, given, out: note(totals.outputs, name, out)

    watch = [(name, layer) for name, layer in model.named_modules() if name in once]
    # Two hooks, since a layer may work in place.
    hooks = [layer.register_forward_hook(after(name)) for name, layer in watch]
    hooks += [layer.register_forward_pre_hook(before(name)) for name, layer in watch if not isinstance(layer, DROPOUTS)]
    try:
        with watched(model, DROPOUTS, lambda name, x: note(totals.inputs, name, x)):
            for batch in batches:
                (forward or run)(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return totals
