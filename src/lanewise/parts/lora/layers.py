"""Layers with a low-rank adapter beside their frozen weight.

A layer keeps its class as a base class, its weight under its own name and whatever else it holds; the adapter adds
`lora_A`, `lora_B` and the buffer `lora_alpha`. A weight that its owner reads by name (of `nn.MultiheadAttention`) is
parametrised instead: what is read there is the sum.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021: h = W x + alpha / r B A x, with A drawn
at random and B zero, so that training starts from the model as it was.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lanewise.base.torch_modules import own_parameters


class Adapter(nn.Module):
    """What adapted layers have in common: two small matrices, their scale, and dropout in front of them.

    Attributes:
        rank: columns of B and rows of A.
        rslora: whether the scale is alpha / sqrt(rank), not alpha / rank.
    """

    lora_A: nn.Parameter  # noqa: N815 (as in the paper)
    lora_B: nn.Parameter  # noqa: N815
    lora_alpha: Tensor
    rank: int
    rslora: bool

    def adapt(self, like: Tensor, shapes: tuple[tuple[int, ...], tuple[int, ...]], alpha: float, rslora: bool) -> None:
        """Add A and B of these shapes, of the type and device of `like`; A is as PEFT draws it, B is zero."""
        made = [nn.Parameter(torch.empty(shape, dtype=like.dtype, device=like.device)) for shape in shapes]
        nn.init.kaiming_uniform_(made[0], a=math.sqrt(5))
        nn.init.zeros_(made[1])
        self.lora_A, self.lora_B = made
        self.rank, self.rslora = shapes[0][0], rslora
        # A buffer, so that it may differ from lane to lane.
        self.register_buffer("lora_alpha", torch.tensor(float(alpha), dtype=like.dtype, device=like.device))

    @property
    def alpha(self) -> float:
        """What the product of B and A is multiplied by, with the rank."""
        return float(self.lora_alpha)

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        with torch.no_grad():
            self.lora_alpha.fill_(alpha)

    @property
    def lora_scale(self) -> Tensor:
        """What the product of B and A is multiplied by."""
        return self.lora_alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class AdaptedLayer(Adapter):
    """A layer whose class is `kind` with an adapter; see `adapted_class`."""

    lora_dropout: nn.Module
    weight: nn.Parameter

    def shapes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of A and B."""
        raise NotImplementedError

    def beside(self, x: Tensor) -> Tensor:
        """What the adapter adds to the layer's outputs."""
        raise NotImplementedError

    def change(self) -> Tensor:
        """What the adapter adds to the weight, of its shape."""
        return self.lora_scale * (self.lora_B @ self.lora_A)

    def insert(self, rank: int, alpha: float, dropout: nn.Module, rslora: bool) -> None:
        """Add the adapter to a layer that has only the class of one."""
        self.adapt(self.weight, self.shapes(rank), alpha, rslora)
        self.lora_dropout = dropout

    def take_in(self) -> None:
        """Add the adapter to the weight, and give the layer back its class."""
        own_parameters(self)["weight"] = nn.Parameter(self.weight + self.change())
        for name in ("lora_A", "lora_B", "lora_alpha", "lora_dropout", "rank", "rslora"):
            delattr(self, name)
        self.__class__ = original_class(self)  # type: ignore[assignment]

    def forward(self, x: Tensor, *args: Any, **named: Any) -> Tensor:
        """The layer's own outputs with those of the adapter added."""
        own: Tensor = super().forward(x, *args, **named)
        return own + self.beside(x)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copies and pickles name the class that was adapted: the one made from it has no module of its own."""
        return blank, (original_class(self),), self.__dict__


class LoraLinear(AdaptedLayer):
    """For `nn.Linear`: A [rank, inputs], B [outputs, rank]."""

    def shapes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        outputs, inputs = self.weight.shape
        return (rank, inputs), (outputs, rank)

    def beside(self, x: Tensor) -> Tensor:
        # The scale goes onto the few numbers between the two.
        return F.linear(F.linear(self.lora_dropout(x), self.lora_A) * self.lora_scale, self.lora_B)


class LoraTransposed(LoraLinear):
    """For `Conv1D` of Transformers, a linear layer whose weight is [inputs, outputs]."""

    def shapes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        inputs, outputs = self.weight.shape
        return (rank, inputs), (outputs, rank)

    def change(self) -> Tensor:
        return super().change().T


class LoraConv2d(AdaptedLayer):
    """For `nn.Conv2d`: A [rank, channels in, height, width], a convolution like it; B [channels out, rank, 1, 1]."""

    stride: Any
    padding: Any
    dilation: Any

    def shapes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        outputs, inputs, height, width = self.weight.shape
        return (rank, inputs, height, width), (outputs, rank, 1, 1)

    def beside(self, x: Tensor) -> Tensor:
        inner = F.conv2d(self.lora_dropout(x), self.lora_A, None, self.stride, self.padding, self.dilation)
        return F.conv2d(inner * self.lora_scale, self.lora_B)

    def change(self) -> Tensor:
        return self.lora_scale * (self.lora_B.flatten(1) @ self.lora_A.flatten(1)).view_as(self.weight)


class LoraEmbedding(AdaptedLayer):
    """For `nn.Embedding`: A [rank, entries], zero; B [size, rank], drawn: looking up a drawn A would train nothing."""

    padding_idx: int | None
    scale_grad_by_freq: bool

    def shapes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        entries, size = self.weight.shape
        return (rank, entries), (size, rank)

    def adapt(self, like: Tensor, shapes: tuple[tuple[int, ...], tuple[int, ...]], alpha: float, rslora: bool) -> None:
        super().adapt(like, shapes, alpha, rslora)
        nn.init.zeros_(self.lora_A)
        nn.init.normal_(self.lora_B)

    def beside(self, x: Tensor) -> Tensor:
        found = F.embedding(x, self.lora_A.T, padding_idx=self.padding_idx, scale_grad_by_freq=self.scale_grad_by_freq)
        return F.linear(found * self.lora_scale, self.lora_B)

    def change(self) -> Tensor:
        return super().change().T


class LoraWeight(Adapter):
    """A parametrisation: the weight [outputs, inputs] that it is given, with scale * B A added."""

    def __init__(self, weight: Tensor, rank: int, alpha: float, rslora: bool) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.adapt(weight, ((rank, inputs), (outputs, rank)), alpha, rslora)

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight."""
        return weight + self.lora_scale * (self.lora_B @ self.lora_A)


def is_transposed(layer: nn.Module) -> bool:
    """Whether `layer` is the Conv1D of Transformers, which is not imported for it."""
    return any(
        (kind.__module__, kind.__name__) == ("transformers.pytorch_utils", "Conv1D") for kind in type(layer).mro()
    )


def mixin_of(layer: nn.Module) -> type[AdaptedLayer] | None:
    """How `layer` is adapted, or None where it takes no adapter beside its weight."""
    for kind, mixin in ((nn.Linear, LoraLinear), (nn.Conv2d, LoraConv2d), (nn.Embedding, LoraEmbedding)):
        if isinstance(layer, kind):
            return mixin
    return LoraTransposed if is_transposed(layer) else None


CLASSES: dict[tuple[type[AdaptedLayer], type[nn.Module]], type[AdaptedLayer]] = {}
"""The classes of adapted layers, by how they are adapted and the class that they had."""


def as_adapted(layer: nn.Module) -> AdaptedLayer:
    """`layer` itself with the class of an adapted one; its matrices are still to be added."""
    kind, mixin = type(layer), mixin_of(layer)
    assert mixin is not None
    if (mixin, kind) not in CLASSES:
        CLASSES[mixin, kind] = type(f"Lora{kind.__name__}", (mixin, kind), {"__doc__": mixin.__doc__})
    layer.__class__ = CLASSES[mixin, kind]
    assert isinstance(layer, AdaptedLayer)
    return layer


def original_class(layer: AdaptedLayer) -> type[nn.Module]:
    """The class that `layer` had before it was adapted."""
    return type(layer).__bases__[-1]


def blank(kind: type[nn.Module]) -> nn.Module:
    """An adapted layer of the class `kind` that holds nothing yet, for copies and pickles."""
    return as_adapted(kind.__new__(kind))
