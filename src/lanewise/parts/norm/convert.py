"""The same model with another normalisation: batch, layer, group or none."""

import copy
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.lazy import LazyModuleMixin

from lanewise.base.torch_modules import AnyBatchNorm, AnyNorm, check_module
from lanewise.errors import InputError
from lanewise.parts.norm.batch_norm import MOMENTUM
from lanewise.parts.norm.flow import flows, replaced
from lanewise.parts.norm.fold import layer_before
from lanewise.parts.norm.watch import input_dims
from lanewise.parts.part import check_number

Kind = Literal["batch", "layer", "group", "none"]
KINDS: tuple[str, ...] = get_args(Kind)
BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
CONVERTED = (AnyNorm, nn.GroupNorm, nn.LayerNorm)


class BatchNormLast(nn.BatchNorm1d):
    """Batch norm whose channels are the last dimension: takes the place of `nn.LayerNorm(C)` on [N, ..., C]."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each of the last dimension's channels over all others."""
        return super().forward(x.reshape(-1, x.shape[-1])).view(x.shape)


class GroupNormLast(nn.GroupNorm):
    """Group norm of the channels in the last dimension, place by place: takes the place of `nn.LayerNorm(C)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each group of channels of each place."""
        rows = x.reshape(-1, x.shape[-1])
        return F.group_norm(rows, self.num_groups, self.weight, self.bias, self.eps).view(x.shape)


@dataclass(frozen=True)
class Channels:
    """What a norm layer is, whatever its class: parameters per channel, and where the channels are."""

    name: str
    norm: nn.Module
    count: int
    weight: Tensor | None
    bias: Tensor | None
    eps: float
    last: bool
    dims: int | None


def convert_norm(
    model: nn.Module,
    to: Kind,
    groups: int = 32,
    momentum: float = 0.1,
    affine: Literal["keep", "reset"] = "keep",
    example: Any = None,
) -> nn.Module:
    """A copy of `model` whose batch, instance, layer and group norms are all of one kind.

    | to | becomes |
    |---|---|
    | batch | `BatchNorm1d/2d/3d` for the input's dimensions; in place of `LayerNorm(C)`, `BatchNormLast` |
    | layer | `GroupNorm(1, C)`: layer norm of each row with a weight and a bias a channel; `LayerNorm(C)` stays |
    | group | `GroupNorm(groups, C)`; in place of `LayerNorm(C)`, `GroupNormLast` |
    | none | `Identity`; the convolution or linear layer in front gets a bias of zeros if it has none |

    Layers that are of the kind already stay as they are (ghost and synchronised batch norm are batch norm). A new layer
    has the eps, the mode, the device and the type of the old one. Running statistics are not carried over: batch norm
    starts from mean 0 and variance 1, so `reestimate` a trained model. Other norms (`RMSNorm`) are not touched.

    Args:
        model: any module; it is left as it is.
        to: "batch", "layer", "group" or "none".
        groups: groups of channels for "group"; must divide every layer's channels.
        momentum: of new batch norms, in [0, 1].
        affine: "keep" copies weights and biases, for each channel; "reset" starts from 1 and 0. A layer without them
            is replaced by one without. A `LayerNorm` over [C, H, W] has them for each place: they can be kept only
            where they do not differ between places.
        example: an input of the model (or a tuple of inputs), to see how many dimensions each norm is given; needed
            for "batch" in place of a `GroupNorm`.

    Raises:
        InputError: an unknown kind, groups that do not divide, parameters that do not fit, or `example` missing.

    >>> model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    >>> convert_norm(model, to="group", groups=4)[1]
    GroupNorm(4, 8, eps=1e-05, affine=True, bias=True)
    """
    check_module("convert_norm", model)
    if to not in KINDS:
        raise InputError(f"convert_norm: to = {to!r}: must be one of {', '.join(KINDS)}")
    if affine not in ("keep", "reset"):
        raise InputError(f"convert_norm: affine = {affine!r}: must be keep or reset")
    check_number("convert_norm: momentum", momentum, MOMENTUM)
    for name, module in model.named_modules():
        if isinstance(module, LazyModuleMixin):
            raise InputError(f"convert_norm: layer {name} is {type(module).__name__}: must have seen an input first")
    result = copy.deepcopy(model)
    dims = input_dims(result, CONVERTED, example)
    like = next(result.parameters(), None)
    if to == "none":
        add_biases(result)
    swap: dict[nn.Module, nn.Module] = {}
    for name, norm in result.named_modules():
        if isinstance(norm, CONVERTED) and not is_kind(norm, to):
            if to == "none":
                swap[norm] = nn.Identity().train(norm.training)
                continue
            old = channels(name, norm, dims.get(name), affine == "keep")
            new = build(old, to, groups, momentum, like)
            if affine == "keep":
                keep_affine(old, new)
            swap[norm] = new.train(norm.training)
    return replaced(result, swap)


def is_kind(norm: nn.Module, to: str) -> bool:
    """Whether `norm` is of the kind `to` already."""
    if to == "batch":
        return isinstance(norm, AnyBatchNorm)
    if to == "layer":
        return isinstance(norm, nn.LayerNorm) or (isinstance(norm, nn.GroupNorm) and norm.num_groups == 1)
    return False


def channels(name: str, norm: Any, dims: int | None, keep: bool) -> Channels:
    """`norm` as parameters per channel."""
    weight, bias = norm.weight, norm.bias
    last = isinstance(norm, (BatchNormLast, GroupNormLast))
    if isinstance(norm, nn.LayerNorm):
        count, *space = norm.normalized_shape
        last = not space and dims != 2
        if space:
            dims = len(space) + 2
            weight, bias = (one_a_channel(name, given, keep) for given in (weight, bias))
    else:
        count = norm.num_channels if isinstance(norm, nn.GroupNorm) else norm.num_features
    return Channels(name, norm, count, weight, bias, norm.eps, last, dims)


def one_a_channel(name: str, given: Tensor | None, keep: bool) -> Tensor | None:
    """Parameters [C, ...] as [C]; to be kept they must be the same at every place."""
    if given is None:
        return None
    places = given.flatten(1)
    if keep and not torch.equal(places, places[:, :1].expand_as(places)):
        raise InputError(
            f"convert_norm: layer {name} has parameters {tuple(given.shape)} that differ between places: must be the "
            'same at all places of a channel to be kept; affine="reset" starts anew'
        )
    return places[:, 0]


def build(old: Channels, to: str, groups: int, momentum: float, like: Tensor | None) -> nn.Module:
    """The new layer in place of `old`, with parameters where `old` has them, else of the model's device and type."""
    stand_in = like if old.weight is None else old.weight
    where: dict[str, Any] = {} if stand_in is None else {"device": stand_in.device, "dtype": stand_in.dtype}
    affine, bias = old.weight is not None, old.bias is not None
    if to == "batch":
        return batch_norm_for(old)(old.count, old.eps, momentum, affine, bias=bias, **where)
    if to == "layer" and old.last:
        return nn.LayerNorm(old.count, old.eps, affine, bias, **where)
    number = 1 if to == "layer" else groups
    if number < 1 or old.count % number:
        raise InputError(f"convert_norm: groups = {number}: must divide the {old.count} channels of layer {old.name}")
    kind = GroupNormLast if old.last else nn.GroupNorm
    return kind(number, old.count, old.eps, affine, bias=bias, **where)


def batch_norm_for(old: Channels) -> type[AnyBatchNorm]:
    """The class of batch norm that takes the input of `old`."""
    if old.last:
        return BatchNormLast
    instance = {nn.InstanceNorm1d: 3, nn.InstanceNorm2d: 4, nn.InstanceNorm3d: 5}
    dims = old.dims or next((dims for kind, dims in instance.items() if isinstance(old.norm, kind)), None)
    if dims not in BATCH_NORMS:
        raise InputError(
            f"convert_norm: example = {'None' if dims is None else f'input of {dims} dimensions'}: layer {old.name} "
            f"({type(old.norm).__name__}) must be given [N, C] to [N, C, D, H, W] with an example input"
        )
    return BATCH_NORMS[dims]


def keep_affine(old: Channels, new: nn.Module) -> None:
    """Copy weight and bias of `old` where `new` has them."""
    for name, given in (("weight", old.weight), ("bias", old.bias)):
        parameter = getattr(new, name, None)
        if isinstance(parameter, nn.Parameter) and given is not None:
            parameter.data.copy_(given.detach())
            parameter.requires_grad_(given.requires_grad)


def add_biases(model: nn.Module) -> None:
    """Give the convolution or linear layer in front of each norm a bias of zeros, where the norm had one instead."""
    for flow in flows(model, training=False):
        for node in flow.graph.nodes:
            norm = flow.layer(node)
            front = layer_before(flow, node) if isinstance(norm, CONVERTED) and norm.bias is not None else ""
            if not isinstance(front, str):
                layer: Any = model.get_submodule(flow.name(front))
                if layer.bias is None:
                    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
                    layer.bias = nn.Parameter(layer.weight.new_zeros(outputs))
