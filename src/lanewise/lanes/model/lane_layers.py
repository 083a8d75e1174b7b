"""Layers whose numbers differ by lane, swapped for lane layers that read them from buffers.

`nn.BatchNorm2d` takes its momentum, and `nn.Dropout` its rate, as a Python float, the same for every lane of a pack,
and dropout draws from a global generator. A lane layer computes the same, but momentum, rate and uniform draws are
buffers whose names start with `lane_`: the step function hands them in, one value or one shared draw at a time.

A lane layer is of its layer's own type too, with all the attributes that torch documents, so that whatever a model asks
of the layer (`isinstance`, `self.drop.p`) is answered with the lane's numbers.
"""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lanewise.base.torch_modules import own_children
from lanewise.errors import InputError
from lanewise.parts.dropout import Dropout, dropout, uniform_shape
from lanewise.parts.lora.layers import Adapter
from lanewise.parts.norm import BatchNormLast, GhostBatchNorm, batch_norm, ghost_batch_norm
from lanewise.parts.norm.batch_norm import check_count
from lanewise.parts.stochastic_depth import StochasticDepth
from lanewise.recipe.recipe import Recipe
from lanewise.task.models import generator_states, seeded

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DROPOUTS = {nn.Dropout: "plain", nn.Dropout1d: "spatial", nn.Dropout2d: "spatial", nn.Dropout3d: "spatial"}
MIXUP_PARTNERS, MIXUP_WEIGHT = "mixup_partners", "mixup_weight"
"""Draws that the step itself needs, beside those of dropout layers."""
TRIED_RATE = 0.5
"""The rate while a model is tried: one that makes `F.dropout(x, self.drop.p)` draw, so that this is seen."""


@cache
def lane_layer_type(lane_layer: Any, layer: Any) -> Any:
    """A type that is `lane_layer`, and under the name of `layer` a `layer` too."""
    return type(layer.__name__, (lane_layer, layer), {"__module__": lane_layer.__module__})


def lane_layer_of(lane_layer: Any, layer: Any, *arguments: Any) -> nn.Module:
    """A new `lane_layer` of `layer`, which is of the type of `layer` as well, made with `arguments`."""
    kind: Any = type(layer)
    made: nn.Module = lane_layer_type(lane_layer, kind)(layer, *arguments)
    return made


class LaneBatchNorm(nn.Module):
    """The lane layer of a batch norm layer, ghost ones included, with the same parameter and buffer names."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layer: Any, where: str, by_lane: bool) -> None:
        nn.Module.__init__(self)
        self.native = False
        self.where, self.eps = f"batch norm {where}", layer.eps
        self.num_features, self.affine = layer.num_features, layer.affine
        self.track_running_stats = layer.track_running_stats
        self.last = isinstance(layer, BatchNormLast)
        self.weight, self.bias = layer.weight, layer.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(layer, name))
        self.own_momentum = layer.momentum
        self.virtual_size = getattr(layer, "virtual_size", None)
        if by_lane:
            self.register_buffer("lane_momentum", torch.zeros(()), persistent=False)

    @property
    def momentum(self) -> Any:
        """The lane's own, a 0-d tensor, or the layer's; None averages all batches."""
        return getattr(self, "lane_momentum", self.own_momentum)

    def extra_repr(self) -> str:
        """The layer's arguments; torch's own looks for the momentum where a lane layer has none."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"

    def forward(self, x: Tensor) -> Tensor:
        if self.last:
            return self.normalised(x.reshape(-1, x.shape[-1])).view(x.shape)
        return self.normalised(x)

    def normalised(self, x: Tensor) -> Tensor:
        """`x` [N, C, ...] normalised; in training the running statistics move."""
        momentum = self.momentum
        if momentum is None:
            # The mean of all batches so far.
            momentum = 1 / (self.num_batches_tracked.to(self.running_mean.dtype) + 1)
        affine, running = (self.weight, self.bias), (self.running_mean, self.running_var)
        if self.native and self.virtual_size is None:
            return self.as_torch_does(x, momentum)
        how = (momentum, self.eps, self.training)
        if self.virtual_size is None:
            y, *new = batch_norm(x, *affine, *running, *how, where=self.where)
        else:
            y, *new = ghost_batch_norm(x, *affine, *running, *how, self.virtual_size, where=self.where)
        if self.training:
            for statistic, value in zip(running, new, strict=True):
                if value is not None:
                    statistic.copy_(value)
            self.num_batches_tracked.add_(1)
        return y

    def as_torch_does(self, x: Tensor, momentum: Any) -> Tensor:
        """The same by torch's own operation, which is one instead of many; it cannot be packed."""
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        check_count(x, self.where)
        if not isinstance(momentum, Tensor):
            self.num_batches_tracked.add_(1)
            running = self.running_mean, self.running_var
            return F.batch_norm(x, *running, self.weight, self.bias, True, momentum, self.eps)
        # With momentum 1 these become the batch's own, which a momentum that is a tensor can then blend.
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        for statistic, value in ((self.running_mean, mean), (self.running_var, var)):
            statistic.copy_((1 - momentum) * statistic + momentum * value)
        self.num_batches_tracked.add_(1)
        return y


class LaneDropout(nn.Module):
    """The lane layer of a dropout layer: one shared draw a call, compared with the lane's own rate.

    `number` is the recipe's number that gives the rate, or None where the layer keeps its own.
    """

    lane_uniform0: Tensor

    def __init__(self, layer: Any, kind: str, rate: float, number: str | None) -> None:
        nn.Module.__init__(self)
        self.kind, self.own_rate, self.number = kind, rate, number
        self.inplace, self.generator = getattr(layer, "inplace", False), getattr(layer, "generator", None)
        self.calls = 0
        self.shapes: list[tuple[int, ...]] = []
        self.settled = False
        if number is not None:
            self.register_buffer("lane_rate", torch.tensor(TRIED_RATE), persistent=False)

    @property
    def p(self) -> float:
        """The lane's rate as a number, which functions such as `F.dropout` take: a pack has none, a loop has."""
        return float(getattr(self, "lane_rate", self.own_rate))

    @p.setter
    def p(self, rate: float) -> None:
        if self.number is not None:
            raise InputError(f"{self.number}: the model sets the rate of a dropout layer itself; must be none")
        self.own_rate = rate

    rate = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        call, self.calls = self.calls, self.calls + 1
        uniform = getattr(self, f"lane_uniform{call}", None)
        if uniform is None and not self.settled:
            # No draw was handed in: the trial pass that finds out which draws the model needs.
            self.shapes.append(uniform_shape(self.kind, x.shape))
            return x
        if uniform is None or tuple(uniform.shape) != uniform_shape(self.kind, x.shape):
            uniform = self.another(uniform_shape(self.kind, x.shape), call)
        return dropout(x, getattr(self, "lane_rate", self.own_rate), uniform)

    def another(self, shape: tuple[int, ...], call: int) -> Tensor:
        """The draw of a call that the trial pass did not have, or not of this `shape`: the same for all lanes.

        It follows from the first draw, so only a model that looks at values, and runs lane after lane, can have it.
        """
        first = self.lane_uniform0
        seed = int(first.flatten()[0].double() * 2**53) + call
        drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=first.dtype)
        return drawn.to(first.device)


def with_lane_layers(model: nn.Module, recipe: Recipe) -> nn.Module:
    """A copy of `model` in which batch norm and dropout layers are lane_layers.

    A layer keeps its own number where the recipe's `dropout` or `norm_momentum` is none. Layers of other types,
    subclasses included, stay as they are.
    """
    return replace_layers(copy.deepcopy(model), lambda layer, where: _lane_layer(layer, where, recipe))


def replace_layers(model: nn.Module, replacement: Callable[[nn.Module, str], nn.Module]) -> nn.Module:
    """`model` itself with every layer replaced by `replacement(layer, its name)`, one in several places by one."""
    made: dict[int, nn.Module] = {}
    for path, module in list(model.named_modules()):
        # Not named_children(), which names a layer that is used in two places once.
        for name, child in list(own_children(module).items()):
            if child is not None:
                if id(child) not in made:
                    made[id(child)] = replacement(child, f"{path}.{name}".strip("."))
                setattr(module, name, made[id(child)])
    return replacement(model, type(model).__name__)


def _lane_layer(layer: nn.Module, where: str, recipe: Recipe) -> nn.Module:
    if type(layer) in (*BATCH_NORMS, BatchNormLast, GhostBatchNorm) and layer.track_running_stats:
        return lane_layer_of(LaneBatchNorm, layer, where, recipe.norm_momentum is not None)
    for kind, rate, number in _dropouts(layer):
        given = getattr(recipe, number) is not None
        if given or rate:
            return lane_layer_of(LaneDropout, layer, kind, rate, number if given else None)
    return layer


def _dropouts(layer: Any) -> list[tuple[str, float, str]]:
    """(kind, own rate, the recipe's number for it) if `layer` is a dropout layer."""
    if type(layer) in DROPOUTS:
        return [(DROPOUTS[type(layer)], layer.p, "dropout")]
    if type(layer) is Dropout:
        return [(layer.kind, layer.rate, "dropout")]
    if type(layer) is StochasticDepth:
        return [(layer.kind, layer.rate, "stochastic_depth")]
    return []


def lane_buffers(model: nn.Module, recipe: Recipe) -> dict[str, str]:
    """Full name of every buffer that holds a number of the lane -> the recipe's name of that number."""
    found: dict[str, str] = {}
    for path, module in model.named_modules():
        if isinstance(module, LaneBatchNorm) and hasattr(module, "lane_momentum"):
            found[f"{path}.lane_momentum".lstrip(".")] = "norm_momentum"
        elif isinstance(module, LaneDropout) and module.number is not None:
            found[f"{path}.lane_rate".lstrip(".")] = module.number
        elif isinstance(module, Adapter) and recipe.lora_alpha is not None:
            found[f"{path}.lora_alpha".lstrip(".")] = "lora_alpha"
    return found


OnePass = Callable[[nn.Module], object]
"""Runs a model once on a training batch."""


def draw_shapes(
    model: nn.Module, one_pass: OnePass, dtype: torch.dtype, device: torch.device
) -> dict[str, tuple[int, ...]]:
    """The draws that a training pass needs: buffer name -> shape; registers the buffers, of type `dtype`.

    Found by running the model once, so that a dropout layer used twice gets two draws.
    """
    lane_layers = {path: module for path, module in model.named_modules() if isinstance(module, LaneDropout)}
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), seeded(0):
        one_pass(model.train())
    shapes: dict[str, tuple[int, ...]] = {}
    # Last, so that the draws of the others stay as they are: of layers that this pass does not come to.
    for path, lane_layer in sorted(lane_layers.items(), key=lambda item: not item[1].shapes):
        lane_layer.settled = True
        for call, shape in enumerate(lane_layer.shapes or [(1,)]):
            lane_layer.register_buffer(
                f"lane_uniform{call}", torch.zeros(shape, dtype=dtype, device=device), persistent=False
            )
            shapes[f"{path}.lane_uniform{call}".lstrip(".")] = shape
    return shapes


def draws_itself(model: nn.Module, one_pass: OnePass, device: torch.device) -> bool:
    """Whether a pass draws from a global generator: `F.dropout`, `torch.rand`, `random.random` and so on.

    Of both kinds, in training and in evaluation: some models sample in one of them only.
    """
    copied = copy.deepcopy(model)
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), seeded(0):
        before = generator_states(device)
        for training in (True, False):
            one_pass(copied.train(training))
        return generator_states(device) != before


def start_calls(model: nn.Module) -> None:
    """Forget the dropout calls of the step before."""
    for module in model.modules():
        if isinstance(module, LaneDropout):
            module.calls = 0
