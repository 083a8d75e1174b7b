"""Roles come from module types: shapes, dimensions and the names of the user's modules do not mislead them."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lanewise.errors import InputError
from lanewise.parts.roles import Role, roles

TORCH_NORMS: dict[str, nn.Module] = {
    "BatchNorm1d": nn.BatchNorm1d(4),
    "BatchNorm2d": nn.BatchNorm2d(4),
    "BatchNorm3d": nn.BatchNorm3d(4),
    "SyncBatchNorm": nn.SyncBatchNorm(4),
    "InstanceNorm1d": nn.InstanceNorm1d(4, affine=True),
    "InstanceNorm2d": nn.InstanceNorm2d(4, affine=True),
    "InstanceNorm3d": nn.InstanceNorm3d(4, affine=True),
    "LayerNorm": nn.LayerNorm([4, 4]),
    "GroupNorm": nn.GroupNorm(2, 4),
    "RMSNorm": nn.RMSNorm([4, 4]),
}


def test_the_norms_below_are_all_of_torchs() -> None:
    """Every class of torch.nn called ...Norm..., but for the lazy forms (subclasses) and what has no parameters."""
    named = {name for name, kind in vars(nn).items() if inspect.isclass(kind) and "Norm" in name}
    without_parameters = {"LocalResponseNorm", "CrossMapLRN2d"}
    assert {name for name in named if not name.startswith("Lazy")} - without_parameters == set(TORCH_NORMS)


@pytest.mark.parametrize("norm", TORCH_NORMS.values(), ids=list(TORCH_NORMS))
def test_parameters_of_a_norm_are_norm_whatever_their_shape(norm: nn.Module) -> None:
    found = roles(nn.Sequential(nn.ReLU(), norm))
    assert found
    assert set(found.values()) == {Role.NORM}


class OwnNorm(nn.LayerNorm):
    """With a parameter of the user's own, named like a weight."""

    def __init__(self) -> None:
        super().__init__([2, 2])
        self.gain_weight = nn.Parameter(torch.ones(3, 3))


class OwnLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 3))
        self.bias = nn.Parameter(torch.ones(3))
        self.inner = nn.Linear(3, 3)


def test_a_users_norm_and_a_users_layer() -> None:
    assert set(roles(OwnNorm()).values()) == {Role.NORM}
    found = roles(OwnLayer())
    assert found == {
        "weight": Role.OTHER,
        "bias": Role.OTHER,
        "inner.weight": Role.WEIGHT,
        "inner.bias": Role.BIAS,
    }
    known = roles(OwnLayer(), also={OwnLayer: Role.WEIGHT})
    assert (known["weight"], known["bias"]) == (Role.WEIGHT, Role.BIAS)
    assert set(roles(OwnLayer(), also={OwnLayer: Role.NORM, nn.Linear: Role.OTHER}).values()) == {Role.NORM, Role.OTHER}


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 4),
        nn.Bilinear(2, 3, 4),
        nn.Conv1d(2, 3, 1),
        nn.Conv2d(2, 3, 1),
        nn.ConvTranspose3d(2, 3, 1),
        nn.LSTM(2, 3, num_layers=2, proj_size=1),
        nn.GRUCell(2, 3),
        nn.MultiheadAttention(4, 2, add_bias_kv=True, kdim=3, vdim=3),
        nn.TransformerEncoderLayer(4, 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_weights_and_biases_of_torchs_layers(layer: nn.Module) -> None:
    for name, role in roles(layer).items():
        if "norm" in name:
            assert role is Role.NORM
        else:
            assert role is (Role.BIAS if "bias" in name else Role.WEIGHT)


def test_embeddings_and_slopes() -> None:
    found = roles(nn.ModuleDict({"e": nn.Embedding(4, 2), "bag": nn.EmbeddingBag(4, 2), "act": nn.PReLU()}))
    assert found == {"e.weight": Role.EMBEDDING, "bag.weight": Role.EMBEDDING, "act.weight": Role.OTHER}


def test_tied_weights_have_the_role_of_the_first_name_under_both() -> None:
    embedding, head = nn.Embedding(4, 2), nn.Linear(2, 4)
    head.weight = embedding.weight
    assert roles(nn.ModuleDict({"in": embedding, "out": head})) == {
        "in.weight": Role.EMBEDDING,
        "out.weight": Role.EMBEDDING,
        "out.bias": Role.BIAS,
    }
    assert roles(nn.ModuleDict({"out": head, "in": embedding}))["in.weight"] is Role.WEIGHT


def test_a_module_used_twice_resolves_under_both_names() -> None:
    shared = nn.BatchNorm1d(2)
    found = roles(nn.ModuleDict({"a": shared, "b": shared}))
    assert found == dict.fromkeys(["a.weight", "a.bias", "b.weight", "b.bias"], Role.NORM)


def test_a_parametrised_weight_hands_its_role_down() -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2)), nn.BatchNorm1d(2))
    found = roles(model)
    assert found["0.parametrizations.weight.original0"] is Role.WEIGHT
    assert found["0.parametrizations.weight.original1"] is Role.WEIGHT
    assert found["0.bias"] is Role.BIAS
    alone = roles(parametrizations.weight_norm(nn.Linear(2, 2)))
    assert alone["parametrizations.weight.original0"] is Role.WEIGHT


def test_every_parameter_has_a_role() -> None:
    model = nn.Transformer(8, 2, 1, 1, 8, batch_first=True)
    assert set(roles(model)) == {name for name, _ in model.named_parameters(remove_duplicate=False)}
    assert roles(nn.ReLU()) == {}


@pytest.mark.parametrize("also", [{nn.Linear: "weights"}, {"Linear": Role.WEIGHT}, {int: Role.WEIGHT}])
def test_wrong_roles_are_refused(also: dict[type[nn.Module], Role]) -> None:
    with pytest.raises(InputError, match="must map module types to one of weight, bias, norm, embedding, other"):
        roles(nn.Linear(1, 1), also=also)
