"""What the common tests train: tiny data, and models that hold every kind of layer a recipe can change.

Each model takes the class of its normalisation as an argument, so that the plain runs can build the converted model
directly instead of converting it.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.parts.lora import lora
from lanewise.parts.stochastic_depth import StochasticDepth

FEATURES, HIDDEN, CHANNELS, SIDE, CLASSES = 6, 12, 4, 5, 4


def perceptron(norm: Callable[[int], nn.Module] = nn.BatchNorm1d, bias: bool = False, width: int = HIDDEN) -> nn.Module:
    """Dense, norm, ReLU, dropout, dense. Without a bias in front of batch norm: its gradient would be rounding."""
    first = nn.Linear(FEATURES, width, bias=bias)
    return nn.Sequential(first, norm(width), nn.ReLU(), nn.Dropout(0.25), nn.Linear(width, CLASSES))


def layered() -> nn.Module:
    """The perceptron with layer norm."""
    return perceptron(nn.LayerNorm)


def grouped() -> nn.Module:
    """The residual network with group norm."""
    return Residual(partial(nn.GroupNorm, 2))


class Tokens(nn.Module):
    """Each row as three tokens of two features, normalised over the last dimension."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(FEATURES // 3, HIDDEN, bias=False), norm(HIDDEN)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.embed(x.view(len(x), 3, -1)))).mean(1))


class OfLast(nn.BatchNorm1d):
    """Torch's batch norm of the last dimension."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


class Residual(nn.Module):
    """A convolution and a residual block, with dropout of channels and stochastic depth."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d, bias: bool = False) -> None:
        super().__init__()
        self.stem, self.conv = convolution(1, False), convolution(CHANNELS, bias)
        self.norm = norm(CHANNELS)
        self.drop, self.depth = nn.Dropout2d(0.1), StochasticDepth(0.2)
        self.head = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.depth(self.norm(self.conv(self.drop(torch.relu(x)))))
        return self.head(torch.relu(x).mean((2, 3)))


def convolution(inputs: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, CHANNELS, 3, padding=1, bias=bias)


def low_rank(rank: int = 2) -> nn.Module:
    """The perceptron without dropout in front of its adapters, its first layer frozen."""
    return lora(perceptron(), rank=rank, targets=["0", "4"], train="1.*")


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": perceptron,
    "layered": layered,
    "residual": Residual,
    "grouped": grouped,
    "tokens": Tokens,
    "low rank": low_rank,
}
TAKES_IMAGES = {"residual", "grouped"}


@cache
def rows(model: str) -> tuple[Tensor, Tensor]:
    """80 rows around four centres, as the model takes them: 48 train, 16 validate, 16 test."""
    generator = torch.Generator().manual_seed(11)
    shape = (1, SIDE, SIDE) if model in TAKES_IMAGES else (FEATURES,)
    y = torch.arange(80) % CLASSES
    centres = torch.randn(CLASSES, *shape, generator=generator)
    return centres[y] + torch.randn(80, *shape, generator=generator), y


class InTurn(nn.modules.batchnorm._BatchNorm):
    """Torch's batch norm on one virtual batch after the other; a last one of a single value joins the one before."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels)
        self.size = size

    def _check_input_dim(self, _: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        cuts = [min(self.size, len(x) - start) for start in range(0, len(x), self.size)]
        if cuts[-1] * x[0, 0].numel() == 1:
            cuts[-2:] = [cuts[-2] + 1]
        done = []
        for part in x.split(cuts):
            done.append(super().forward(part))
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1 - len(cuts)
        return torch.cat(done)


def plain_model(model: str, recipe: Any) -> nn.Module:
    """The model as a person would write it for `recipe`: with the norm it asks for in the place of the model's own."""
    build, batch_norm = (Residual, nn.BatchNorm2d) if model in TAKES_IMAGES else (perceptron, nn.BatchNorm1d)
    if recipe.ghost is not None:
        return build(lambda channels: InTurn(channels, recipe.ghost))
    if recipe.norm == "own":
        return MODELS[model](**recipe.sizes)
    if recipe.norm == "identity":
        return build(lambda channels: nn.Identity(), bias=True)
    if recipe.norm == "batch":
        return Tokens(OfLast) if model == "tokens" else build(batch_norm)
    groups = 1 if recipe.norm == "layer" else recipe.norm_groups
    return build(lambda channels: nn.GroupNorm(groups, channels))


def start_from(plain: nn.Module, model: nn.Module) -> None:
    """Give `plain` the weights of `model`; a bias that `model` lacks starts at 0."""
    state = model.state_dict()
    own = plain.state_dict()
    for name, value in own.items():
        if name in state and value.shape == state[name].shape:
            own[name] = state[name].clone()
        elif name.endswith(".bias"):
            own[name] = torch.zeros_like(value)
    plain.load_state_dict(own)
