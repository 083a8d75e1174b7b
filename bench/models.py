"""Sixteen models of the kinds that people train, small enough for two cores, each with random data of its shape."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS = 1536


@dataclass(frozen=True)
class Case:
    """A model with its data and batch size.

    Attributes:
        data: (inputs, targets); classes of rows, or of tokens [rows, tokens].
    """

    name: str
    model: Callable[[], nn.Module]
    data: tuple[Any, Tensor]
    batch: int


class Residual(nn.Module):
    """A residual block of two 3 x 3 convolutions with batch norm."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.skip = nn.Identity()
        if stride > 1 or before != after:
            self.skip = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(inner)) + self.skip(x))


def resnet(widths: tuple[int, ...], blocks: int) -> Callable[[], nn.Module]:
    """A ResNet for small pictures with `blocks` residual blocks of each width."""

    def made() -> nn.Module:
        layers: list[nn.Module] = [
            nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        ]  # fmt: skip
        before = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Residual(before, width, 2 if stage and not block else 1))
                before = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))

    return made


class Inverted(nn.Module):
    """MobileNetV3's block: expand, depthwise, squeeze and excite, project."""

    def __init__(self, before: int, inner: int, after: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.Hardswish())
        self.depth = nn.Sequential(
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.Hardswish()
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, inner // 4, 1), nn.ReLU(), nn.Conv2d(inner // 4, inner, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip
        self.project = nn.Sequential(nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after))
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        inner = self.depth(self.expand(x))
        found = self.project(inner * self.excite(inner))
        return x + found if self.adds else found


def mobilenet() -> nn.Module:
    """A small MobileNetV3."""
    blocks = [(16, 32, 16, 1), (16, 64, 24, 2), (24, 72, 24, 1), (24, 96, 40, 2), (40, 160, 40, 1)]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 128), nn.Hardswish(), nn.Linear(128, 10)]
    return nn.Sequential(*stem, *(Inverted(*block) for block in blocks), *head)


def encoder(width: int, heads: int, layers: int, dropout: float = 0.0) -> nn.TransformerEncoder:
    """torch's own transformer encoder, normalised before each part."""
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class Attending(nn.Module):
    """A transformer encoder over what `embed` makes of the inputs, with a learned place of every token."""

    def __init__(
        self, embed: nn.Module, tokens: int, width: int, layers: int, classes: int, pooled: bool = True
    ) -> None:
        super().__init__()
        self.embed, self.places = embed, nn.Parameter(0.02 * torch.randn(tokens, width))
        self.body, self.head, self.pooled = encoder(width, 4, layers), nn.Linear(width, classes), pooled
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        found = self.norm(self.body(self.embed(x) + self.places))
        return self.head(found.mean(1) if self.pooled else found)


class Patches(nn.Module):
    """Pictures [N, 3, 32, 32] as 64 tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, width, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.cut(x).flatten(2).transpose(1, 2)


class Columns(nn.Module):
    """Numbers [N, columns] as one token each: FT-transformer's tokenizer."""

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(columns, width))
        self.bias = nn.Parameter(0.1 * torch.randn(columns, width))

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1) * self.weight + self.bias


class Gpt(nn.Module):
    """Causal attention through `scaled_dot_product_attention`, four heads, layer norm in front of each part."""

    def __init__(self, vocabulary: int = 64, tokens: int = 64, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(vocabulary, width), nn.Parameter(torch.zeros(tokens, width))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width),
                 nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)]
            )
            for _ in range(layers)
        )  # fmt: skip
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.places
        for before, qkv, out, between, wide, narrow in self.layers:
            q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in qkv(before(x)).chunk(3, -1))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + out(mixed.transpose(1, 2).flatten(2))
            x = x + narrow(F.gelu(wide(between(x))))
        return self.head(x)


class Recurrent(nn.Module):
    """An LSTM or GRU over tokens; its last state is classified."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], width: int = 128) -> None:
        super().__init__()
        self.embed, self.body = nn.Embedding(64, 64), kind(64, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens))[0][:, -1])


class TableBlock(nn.Module):
    """The residual block of a tabular ResNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm1d(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Bag(nn.Module):
    """Averaged embeddings of tokens, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(2000, 64), nn.Linear(64, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.bag(tokens))


class Sets(nn.Module):
    """DeepSets: a perceptron for every element, the sum, another perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))
        self.whole = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(self.each(x).sum(1))


class Siamese(nn.Module):
    """Two inputs through one perceptron; their difference is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 10)

    def forward(self, pair: Tensor) -> Tensor:
        one, other = pair.unbind(1)
        return self.head((self.body(one) - self.body(other)).abs())


def dense(*widths: int) -> Callable[[], nn.Module]:
    """A perceptron of these widths."""

    def made() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return made


def tabular_resnet() -> nn.Module:
    """A tabular ResNet of three blocks."""
    return nn.Sequential(nn.Linear(32, 128), *(TableBlock(128) for _ in range(3)), nn.BatchNorm1d(128), nn.ReLU(),
                         nn.Linear(128, 10))  # fmt: skip


def cases() -> list[Case]:
    """The sixteen models."""
    torch.manual_seed(0)
    pictures, numbers = torch.randn(ROWS, 3, 32, 32), torch.randn(ROWS, 32)
    tokens, words = torch.randint(64, (ROWS, 64)), torch.randint(2000, (ROWS, 40))
    classes = torch.arange(ROWS) % 10
    return [
        Case("ResNet-18-like", resnet((16, 32, 64, 128), 2), (pictures, classes), 32),
        Case("ResNet-10-like", resnet((16, 32, 64, 128), 1), (pictures, classes), 32),
        Case("MobileNetV3-like", mobilenet, (pictures, classes), 32),
        Case("ViT, tiny", lambda: Attending(Patches(64), 64, 64, 4, 10), (pictures, classes), 32),
        Case("FT-transformer", lambda: Attending(Columns(32, 64), 32, 64, 3, 10), (numbers, classes), 64),
        Case("LSTM", lambda: Recurrent(nn.LSTM), (tokens[:, :32], classes), 32),
        Case("GRU", lambda: Recurrent(nn.GRU, 64), (tokens[:, :16], classes), 32),
        Case("MLP 3 x 1024", dense(32, 1024, 1024, 1024, 10), (numbers, classes), 64),
        Case("BERT, tiny", lambda: Attending(nn.Embedding(64, 128), 64, 128, 2, 10), (tokens, classes), 16),
        Case("GPT, tiny", Gpt, (tokens, tokens.roll(-1, 1)), 16),
        Case("tabular ResNet", tabular_resnet, (numbers, classes), 64),
        Case("EmbeddingBag", Bag, (words, classes), 64),
        Case("autoencoder", dense(32, 64, 16, 64, 32), (numbers, numbers), 64),
        Case("DeepSets", Sets, (torch.randn(ROWS, 10, 8), classes), 64),
        Case("Siamese", Siamese, (torch.randn(ROWS, 2, 32), classes), 64),
        Case("small CNN", resnet((8, 16), 1), (pictures[:, :, :16, :16].contiguous(), classes), 64),
    ]
