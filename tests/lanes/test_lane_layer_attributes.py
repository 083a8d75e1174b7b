"""A lane layer answers for the layer that it stands in for: type, attributes, and a rate that functions take."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lanewise as lw
from lanewise.lanes.model.lane_layers import with_lane_layers
from lanewise.lanes.step.step import LaneStep

DOCUMENTED = {
    nn.Dropout: ("p", "inplace", "training"),
    nn.Dropout2d: ("p", "inplace", "training"),
    lw.Dropout: ("rate", "kind", "generator", "training"),
    lw.StochasticDepth: ("rate", "kind", "training"),
    nn.BatchNorm1d: (
        *("num_features", "eps", "momentum", "affine", "track_running_stats", "training"),
        *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    ),
    nn.BatchNorm2d: ("num_features", "momentum", "weight", "running_mean"),
    lw.GhostBatchNorm: ("num_features", "momentum", "virtual_size"),
}


def made(kind: Any) -> nn.Module:
    return kind(4, 2) if kind is lw.GhostBatchNorm else kind(4) if "Norm" in kind.__name__ else kind(0.25)


@pytest.mark.parametrize("numbers", [{}, {"dropout": 0.3, "stochastic_depth": 0.3, "norm_momentum": 0.3}])
@pytest.mark.parametrize("kind", DOCUMENTED)
def test_every_attribute_is_there(kind: Any, numbers: dict[str, float]) -> None:
    layer = made(kind)
    lane_layer: Any = with_lane_layers(nn.Sequential(layer), lw.Recipe(**numbers))[0]
    assert type(lane_layer) is not kind
    assert isinstance(lane_layer, kind)
    assert repr(lane_layer).startswith(kind.__name__)
    for name in DOCUMENTED[kind]:
        found, own = getattr(lane_layer, name), getattr(layer, name)
        if isinstance(own, torch.Tensor):
            assert torch.equal(found, own)
        elif not numbers or name not in ("p", "rate", "momentum"):
            assert found == own
    for buffer in ("lane_rate", "lane_momentum"):
        if hasattr(lane_layer, buffer):
            setattr(lane_layer, buffer, torch.tensor(0.75))
            assert float(next(getattr(lane_layer, n) for n in ("p", "momentum") if hasattr(lane_layer, n))) == 0.75


class Attention(nn.Module):
    """As Transformers' attention does it: the layer's rate goes to a function."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.drop, self.out = how, nn.Dropout(0.1), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rate = self.drop.p if self.training else 0.0
        if self.how == "function":
            return self.out(F.dropout(x, self.drop.p, self.training))
        heads = x.unflatten(1, (2, 4))
        return self.out(F.scaled_dot_product_attention(heads, heads, heads, dropout_p=rate).flatten(1))


@pytest.mark.parametrize("dropout", [None, lw.uniform(0.2, 0.4)])
@pytest.mark.parametrize("how", ["function", "attention"])
def test_a_model_that_reads_the_rate_is_raced(how: str, dropout: Any) -> None:
    x = torch.randn(80, 8, generator=torch.Generator().manual_seed(0))
    task = lw.Task(lambda: Attention(how), (x, (x[:, 0] > 0).long()))
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.1, 1)), dropout=dropout, batch_size=16, epochs=1)
    found = lw.race(task, space, candidates=2, repeats=2, generations=1, finalists=2, confirm=2)
    assert found.winner.dropout is None or 0.2 <= found.winner.dropout <= 0.4


@pytest.mark.parametrize("how", ["function", "attention"])
def test_that_it_draws_is_seen_whatever_the_recipes_rate(how: str) -> None:
    x = torch.randn(16, 8)
    task = lw.Task(lambda: Attention(how), (x, (x[:, 0] > 0).long()))
    step = LaneStep(task.new_model(0), lw.Recipe(dropout=0.3), task.objective, x, (x[:, 0] > 0).long())
    assert step.draws_itself


def test_the_rate_read_is_that_of_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    dropout = F.dropout

    # Not in the model: what its forward pass changes there is a lane's own, and put back.
    def watched(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
        seen.append(p)
        return dropout(x, p, training)

    monkeypatch.setattr(F, "dropout", watched)

    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.out = nn.Dropout(0.1), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(F.dropout(x, self.drop.p, self.training))

    x = torch.randn(60, 8)
    recipe = lw.Recipe(optimizer=lw.SGD(lr=0.1), batch_size=12, epochs=1)
    lw.compare(lw.Task(Reads, (x, (x[:, 0] > 0).long())), {
        "low": lw.Recipe(**{**vars(recipe), "dropout": 0.125}), "high": lw.Recipe(**{**vars(recipe), "dropout": 0.375}),
    }, repeats=2)  # fmt: skip
    assert {0.125, 0.375} <= set(np.round(seen, 6))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_transformers_attention_is_raced(attention: str) -> None:
    transformers = pytest.importorskip("transformers")

    def bert() -> nn.Module:
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        config = transformers.BertConfig(vocab_size=9, max_position_embeddings=8, num_labels=2, **sizes)
        config._attn_implementation = attention
        return transformers.BertForSequenceClassification(config)

    tokens = torch.randint(9, (40, 4), generator=torch.Generator().manual_seed(0))
    task = lw.Task(bert, ({"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, (tokens[:, 0] > 4).long()))
    assert ".logits of the SequenceClassifierOutput" in task.check_model()
    space = lw.Recipe(optimizer=lw.Adam(lr=lw.log(1e-3, 1e-2)), dropout=lw.uniform(0.1, 0.3), batch_size=12, epochs=1)
    found = lw.race(task, space, candidates=2, repeats=2, generations=1, finalists=2, confirm=2)
    assert 0.1 <= found.winner.dropout <= 0.3
