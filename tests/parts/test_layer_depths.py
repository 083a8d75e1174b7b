"""How deep the layers of models lie: what layer-wise rates and gradual unfreezing go by."""

import torch
from torch import nn

from lanewise.parts.groups import layer_depths
from lanewise.parts.lora import lora


def by_depth(model: nn.Module) -> list[set[str]]:
    """The modules of each depth that hold parameters, from the first layer to the last."""
    found = layer_depths(model)
    assert list(found) == [name for name, _ in model.named_parameters()]
    depths = range(max(found.values()), -1, -1)
    return [{name.rpartition(".")[0] for name, depth in found.items() if depth == wanted} for wanted in depths]


class Transformer(nn.Module):
    """Embeddings, a token of its own, blocks, a norm and a head."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.words, self.places = nn.Embedding(9, 8), nn.Embedding(5, 8)
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(8, 2, 16) for _ in range(3)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 9, bias=False)
        if tied:
            self.head.weight = self.words.weight


def test_blocks_are_layers_and_embeddings_one() -> None:
    found = layer_depths(Transformer(tied=False))
    assert found["token"] == found["words.weight"] == found["places.weight"] == 4
    assert {found[f"blocks.{at}.{name}"] for at, name in ((0, "linear1.weight"), (0, "norm2.bias"))} == {3}
    assert found["blocks.2.self_attn.in_proj_weight"] == found["norm.weight"] == 1
    assert found["head.weight"] == 0
    assert layer_depths(Transformer(tied=True))["words.weight"] == 3


def test_a_residual_network_goes_by_its_blocks() -> None:
    block = nn.Module()
    block.conv, block.bn, block.shortcut = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 4, 1))
    model = nn.Module()
    model.stem, model.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    model.layer1, model.fc = nn.Sequential(block, nn.Conv2d(4, 4, 1)), nn.Linear(4, 2)
    wrapped = nn.Module()
    wrapped.net = model
    inner = {"layer1.0.conv", "layer1.0.bn", "layer1.0.shortcut.0"}
    for whole, start in ((model, ""), (wrapped, "net.")):
        expected = [{"stem", "bn"}, inner, {"layer1.1"}, {"fc"}]
        assert by_depth(whole) == [{f"{start}{name}" for name in names} for names in expected]


def test_a_norm_in_front_belongs_to_the_first_layer() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3), nn.ReLU(), nn.LayerNorm(3), nn.Linear(3, 2))
    assert by_depth(model) == [{"0", "1", "3"}, {"4"}]
    assert by_depth(nn.Linear(2, 2)) == [{""}]


def test_adapters_lie_where_their_layer_lies() -> None:
    model = lora(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 2)), rank=1, train="3.*")
    found = layer_depths(model)
    assert (found["0.lora_A"], found["0.weight"], found["2.lora_B"], found["3.weight"]) == (2, 2, 1, 0)
