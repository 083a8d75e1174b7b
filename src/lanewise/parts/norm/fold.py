"""Folding a batch norm into the layer in front of it, for evaluation: one layer less to compute."""

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from lanewise.base.torch_modules import AnyBatchNorm, check_module, forward_hooks
from lanewise.parts.norm.flow import DROPOUTS, Flow, calls, flows, replaced, source
from lanewise.parts.norm.ghost import GhostBatchNorm
from lanewise.parts.norm.watch import input_dims

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PLAIN_FORWARDS = (AnyBatchNorm.forward, nn.SyncBatchNorm.forward, GhostBatchNorm.forward)


@dataclass(frozen=True)
class Folded:
    """A model in evaluation mode without the batch norms in `folded`.

    `folded` maps the name of a batch norm, now an `nn.Identity`, to the layer that took it in; `left` maps the name of
    one that is still there to the reason.
    """

    model: nn.Module
    folded: dict[str, str]
    left: dict[str, str]


def fold_norm(model: nn.Module, example: Any = None) -> Folded:
    """A copy of `model` for evaluation whose batch norms are folded into the convolution or linear layer before them.

    y = gamma (W x + b - mean) / sqrt(var + eps) + beta is a layer of weight W gamma / sqrt(var + eps) and of bias
    (b - mean) gamma / sqrt(var + eps) + beta. A batch norm is folded where the layer's output goes nowhere else
    (identities and dropout, which do nothing in evaluation, may stand between) and both are used once.

    The order of the layers comes from `torch.fx`; a model that cannot be traced whole is folded where its parts can
    be, so a batch norm that some of the model's own untraced code calls is expected to be called as those parts say.

    Args:
        model: any module; it is left as it is.
        example: an input (or a tuple of inputs). With it, a batch norm behind a linear layer that is given more than
            [N, C], and so normalises dimension 1 and not the layer's outputs, is found and left. Without it, such a
            model must not be folded.

    Returns:
        The folded copy in evaluation mode, the names of what was folded and the reasons for what was not.

    >>> done = fold_norm(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3)))
    >>> done.folded, done.left
    ({'1': '0'}, {'3': 'in front of it is ReLU 2, no convolution or linear layer'})
    """
    check_module("fold_norm", model)
    result = copy.deepcopy(model).eval()
    wide = {name for name, dims in input_dims(result, (AnyBatchNorm,), example).items() if dims > 2}
    folded: dict[str, str] = {}
    while True:
        pairs, left = matches(result, wide)
        if not pairs:
            break
        for norm, layer in pairs.items():
            fused = fuse(result.get_submodule(layer), result.get_submodule(norm))
            swap = {result.get_submodule(layer): fused, result.get_submodule(norm): nn.Identity().eval()}
            result = replaced(result, swap)
        folded |= pairs
    return Folded(result, folded, left)


def fuse(layer: Any, norm: Any) -> nn.Module:
    """A copy of `layer`, a convolution or linear layer, that does the work of the batch norm `norm` too."""
    if norm.weight is None or norm.bias is None:  # torch's fusion of linear layers takes neither away
        norm = copy.deepcopy(norm)
        norm.weight = norm.weight if norm.weight is not None else nn.Parameter(torch.ones_like(norm.running_var))
        norm.bias = norm.bias if norm.bias is not None else nn.Parameter(torch.zeros_like(norm.running_var))
    fused: nn.Module
    if isinstance(layer, nn.Linear):
        fused = fuse_linear_bn_eval(layer, norm)
    else:
        fused = fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, TRANSPOSED))
    return fused


def matches(model: nn.Module, wide: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Batch norms with the layer to fold them into, by name, and the others with the reason."""
    norms = [name for name, module in model.named_modules() if isinstance(module, AnyBatchNorm)]
    left = dict.fromkeys(norms, "the code that calls it could not be traced")
    pairs: dict[str, str] = {}
    found = flows(model, training=False)
    used = calls(found)
    for flow in found:
        for node in flow.graph.nodes:
            norm = flow.layer(node)
            if not isinstance(norm, AnyBatchNorm):
                continue
            name = flow.name(node)
            front = layer_before(flow, node)
            if isinstance(front, str):
                left[name] = norm_reason(norm, used) or front
                continue
            reason = norm_reason(norm, used) or layer_reason(flow, front, norm, used, name in wide)
            if reason is None:
                pairs[name] = flow.name(front)
                del left[name]
            else:
                left[name] = reason
    return pairs, left


def layer_before(flow: Flow, norm: fx.Node) -> fx.Node | str:
    """The call of the layer whose output only `norm` takes, or the reason why there is none."""
    node = source(norm)
    while node is not None and isinstance(flow.layer(node), (nn.Identity, *DROPOUTS)):
        if len(node.users) > 1:
            return f"the output of {flow.name(node)} goes elsewhere too"
        node = source(node)
    if node is None or node.op == "placeholder":
        return "nothing is in front of it"
    layer = flow.layer(node)
    if layer is None:
        return f"in front of it is {getattr(node.target, '__name__', node.target)}, no convolution or linear layer"
    if type(layer) not in (*CONVOLUTIONS, *TRANSPOSED, nn.Linear):
        return f"in front of it is {type(layer).__name__} {flow.name(node)}, no convolution or linear layer"
    if len(node.users) > 1:
        return f"the output of {flow.name(node)} goes elsewhere too"
    return node


def norm_reason(norm: AnyBatchNorm, used: Counter[nn.Module]) -> str | None:
    """Why the batch norm itself stands against folding, if it does."""
    if used[norm] > 1:
        return "it is used more than once"
    if norm.running_mean is None:
        return "it keeps no running statistics"
    if type(norm).forward not in PLAIN_FORWARDS or has_hooks(norm):
        return "it does more than batch norm (a forward or hooks of its own)"
    return None


def layer_reason(flow: Flow, node: fx.Node, norm: AnyBatchNorm, used: Counter[nn.Module], wide: bool) -> str | None:
    """Why the layer that `node` calls cannot take in `norm`, if it cannot."""
    layer, name = flow.layer(node), flow.name(node)
    assert layer is not None
    if used[layer] > 1:
        return f"{name} is used more than once"
    if has_hooks(layer):
        return f"{name} has hooks"
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if channels != norm.num_features or (wide and isinstance(layer, nn.Linear)):
        return f"it does not normalise the outputs of {name} but dimension 1"
    if isinstance(layer, TRANSPOSED) and layer.groups != 1:
        return f"{name} is transposed with {layer.groups} groups, which torch's fusion does not cover"
    return None


def has_hooks(module: nn.Module) -> bool:
    """Whether something runs before or after the module's forward."""
    return bool(forward_hooks(module))
