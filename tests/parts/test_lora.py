"""Low-rank adapters: which layers get them, what they compute, what trains, and what becomes of them."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import lanewise as lw


class Tiny(nn.Module):
    """Attention in torch's own layers, an embedding, a head."""

    def __init__(self, tied: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.body = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, dropout, batch_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(8, 11, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.embed(x))).mean(1)


def tokens() -> torch.Tensor:
    return torch.arange(18).reshape(3, 6) % 11


def shaken(model: nn.Module) -> nn.Module:
    """The model with adapters that are no longer zero."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def trained(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_outputs_start_as_they_were_and_the_model_given_is_left_alone() -> None:
    model = Tiny().eval()
    before = copy.deepcopy(model.state_dict())
    adapted = lw.lora(model, rank=2, targets=["embed", "linear1", "linear2", "self_attn", "head"])
    assert torch.allclose(adapted(tokens()), model(tokens()), atol=1e-6)
    assert list(model.state_dict()) == list(before)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert adapted.head.weight.data_ptr() == model.head.weight.data_ptr(), "frozen weights are shared"
    assert adapted.head is not model.head


def test_linear_computes_the_formula_of_the_paper() -> None:
    layer = shaken(lw.lora(nn.Linear(5, 3), rank=2, alpha=6.0)).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    expected = x @ (layer.weight + 6 / 2 * layer.lora_B @ layer.lora_A).T + layer.bias
    assert torch.allclose(layer(x), expected, rtol=1e-12)
    assert isinstance(layer, nn.Linear)


def test_scale_of_rslora_is_alpha_by_the_root_of_the_rank() -> None:
    layer = lw.lora(nn.Linear(5, 3), rank=4, alpha=6.0, rslora=True)
    assert float(layer.lora_scale) == 3.0


KINDS = {
    "linear": (lambda: nn.Linear(5, 3), lambda: torch.randn(4, 5)),
    "convolution": (lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=2), lambda: torch.randn(2, 3, 9, 9)),
    "embedding": (lambda: nn.Embedding(7, 4, padding_idx=0), lambda: torch.tensor([[0, 1, 6]])),
    "attention": (lambda: Tiny(), tokens),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [True, False])
def test_merged_model_is_plain_and_gives_the_same(kind: str, mode: bool) -> None:
    make, inputs = KINDS[kind]
    model, x = make(), inputs()
    targets = ["self_attn", "linear1", "linear2"] if kind == "attention" else "*"
    adapted = shaken(lw.lora(model, rank=2, targets=targets)).train(mode)
    with torch.no_grad():
        found, plain = adapted(x), model.train(mode)(x)
        merged = lw.merge_lora(adapted)
        assert not torch.allclose(found, plain, atol=1e-3), "the adapters must count"
        assert torch.allclose(merged(x), found, atol=1e-5)
    assert list(merged.state_dict()) == list(model.state_dict())
    assert [type(layer) for layer in merged.modules()] == [type(layer) for layer in model.modules()]
    assert all(parameter.requires_grad for parameter in merged.parameters())
    with torch.no_grad():
        next(merged.parameters()).zero_()
        assert torch.equal(model(x), plain), "merged weights are no longer shared"


def test_faster_way_of_encoder_layers_in_evaluation_does_not_pass_adapters_by() -> None:
    adapted = shaken(lw.lora(Tiny(), rank=2, targets=["linear1", "linear2"])).eval()
    with torch.no_grad():
        assert torch.allclose(adapted(tokens()), adapted.requires_grad_()(tokens()), atol=1e-6)
        with torch.enable_grad():
            slow = adapted(tokens())
    assert torch.allclose(adapted(tokens()), slow, atol=1e-6)
    assert lw.merge_lora(adapted).body.layers[0].activation_relu_or_gelu == 1


def test_default_targets_are_linear_layers_that_do_not_train_and_share_nothing() -> None:
    adapted = lw.lora(Tiny(tied=True), rank=2)
    assert {name.split(".lora_")[0] for name in trained(adapted)} == {
        f"body.layers.{number}.{place}"
        for number in (0, 1)
        for place in (
            "linear1",
            "linear2",
            "self_attn.parametrizations.in_proj_weight.0",
            "self_attn.out_proj.parametrizations.weight.0",
        )
    }
    assert adapted.head.weight is adapted.embed.weight, "tied weights stay tied"
    apart = trained(lw.lora(Tiny(), rank=2, train="head.*"))
    assert "head.weight" in apart
    assert not any(name.startswith("head.lora") for name in apart)


def test_copies_and_pickles_of_adapted_models() -> None:
    model = shaken(lw.lora(nn.Sequential(nn.Linear(4, 3), nn.Conv2d(1, 1, 1), nn.Embedding(3, 2)), targets="*"))
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [type(layer) for layer in again] == [type(layer) for layer in model]
        assert all(torch.equal(one, other) for one, other in zip(again.parameters(), model.parameters(), strict=True))
        assert torch.equal(again[0](torch.ones(4)), model[0](torch.ones(4)))


def old_weight_norm() -> nn.Module:
    with pytest.warns(FutureWarning):
        return nn.utils.weight_norm(nn.Linear(2, 2))


REFUSED = {
    "must be an integer in [1, ": {"rank": 0},
    "alpha = 0": {"alpha": 0},
    "dropout = 1.0": {"dropout": 1.0},
    "targets = 'linear3': fits no layer; must be among names such as linear": {"targets": "linear3"},
    "targets = 'nothing*': fits no layer": {"targets": "nothing*"},
    "'body.layers.0.norm1' (LayerNorm) takes no adapter: must be Linear": {"targets": "norm1"},
    "train = 'tail.*': fits no parameter": {"train": "tail.*"},
    "'head' is among targets and train": {"targets": "head", "train": "head.*"},
    "targets is empty": {"targets": []},
    "targets = 3": {"targets": 3},
    "dropout = 0.5: must be 0 for 'body.layers.0.self_attn'": {"dropout": 0.5},
}


@pytest.mark.parametrize("message", REFUSED)
def test_mistakes_are_one_line(message: str) -> None:
    with pytest.raises(lw.InputError) as caught:
        lw.lora(Tiny(), **REFUSED[message])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2))), "'0' (ParametrizedLinear)"),
        (
            lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 2))),
            "'0' (Linear) takes no adapter: its weight is",
        ),
        (lambda: nn.Sequential(old_weight_norm()), "'0' (Linear) takes no adapter: its weight is computed"),
        (lambda: nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64)), "no real number"),
        (lambda: lw.lora(nn.Linear(2, 2)), "has adapters already"),
        (lambda: nn.Sequential(nn.ReLU()), "no Linear layer to adapt"),
        (lambda: "bert", "model is a str"),
    ],
)
def test_models_that_take_no_adapters(make: object, message: str) -> None:
    with pytest.raises(lw.InputError, match=r"^lora: ") as caught:
        lw.lora(make())
    assert message in str(caught.value)


def test_layers_that_take_no_adapter_are_named() -> None:
    with pytest.raises(lw.InputError, match=r"'head' shares its weight with embed\.weight"):
        lw.lora(Tiny(tied=True), targets="head")
    with pytest.raises(lw.InputError, match="grouped"):
        lw.lora(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)), targets="0")
    with pytest.raises(lw.InputError, match="no adapters of lora"):
        lw.merge_lora(nn.Linear(2, 2))


def test_weights_that_hooks_compute_stay_theirs() -> None:
    model = nn.Sequential(nn.Linear(2, 2), old_weight_norm())
    adapted = lw.lora(model, targets="0")
    assert torch.equal(adapted(torch.ones(1, 2)), model(torch.ones(1, 2)))
    assert adapted[1].weight_g.data_ptr() == model[1].weight_g.data_ptr()


def test_parametrisations_of_others_stay() -> None:
    model = nn.Sequential(nn.Linear(3, 3), parametrizations.orthogonal(nn.Linear(3, 3)))
    merged = lw.merge_lora(lw.lora(model, targets="0"))
    assert parametrize.is_parametrized(merged[1])
