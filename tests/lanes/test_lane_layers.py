"""The lane layers of layers whose numbers differ by lane, and the step made of a model that holds them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.lanes.model.lane_layers import (
    LaneBatchNorm,
    LaneDropout,
    draw_shapes,
    draws_itself,
    lane_buffers,
    with_lane_layers,
)
from lanewise.lanes.step.step import LaneStep
from lanewise.parts.stochastic_depth import StochasticDepth
from lanewise.recipe.recipe import Recipe
from lanewise.task.objectives import Classification

BOTH = Recipe(dropout=0.5, norm_momentum=0.25)
NEITHER = Recipe()
IMAGES = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))


class Small(nn.Module):
    """Every layer that has a lane layer, and one that has not."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.25))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.0), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(x))
        return found


class Twice(nn.Module):
    """One dropout layer, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.drop(x), self.drop(x)])


def kinds(model: nn.Module) -> list[str]:
    """The layers that are lane layers, by name."""
    return [name for name, module in model.named_modules() if isinstance(module, (LaneBatchNorm, LaneDropout))]


def test_twins_keep_every_name_of_the_state() -> None:
    torch.manual_seed(0)
    model = Small()
    lane_layer = with_lane_layers(model, BOTH)
    assert kinds(lane_layer) == ["body.1", "body.3", "head.2", "head.3"]
    assert list(lane_layer.state_dict()) == list(model.state_dict())
    assert kinds(model) == [], "the model given stays as it is"


def test_a_layer_that_would_do_nothing_has_no_twin() -> None:
    assert kinds(with_lane_layers(Small(), NEITHER)) == ["body.1", "body.3", "head.2"]
    assert kinds(with_lane_layers(Small(), replace(NEITHER, dropout=0.0))) == ["body.1", "body.3", "head.2", "head.3"]


def test_the_layer_itself_may_be_the_model() -> None:
    assert isinstance(with_lane_layers(nn.BatchNorm1d(3), BOTH), LaneBatchNorm)
    assert lane_buffers(with_lane_layers(nn.BatchNorm1d(3), BOTH), BOTH) == {"lane_momentum": "norm_momentum"}


def test_a_layer_in_two_places_has_one_twin() -> None:
    layer = nn.BatchNorm1d(3)
    lane_layer = with_lane_layers(nn.Sequential(layer, nn.ReLU(), layer), BOTH)
    assert lane_layer[0] is lane_layer[2]
    assert lane_buffers(lane_layer, BOTH) == {"0.lane_momentum": "norm_momentum"}


def test_batch_norm_without_what_a_twin_needs_stays() -> None:
    cumulative, stateless = nn.BatchNorm1d(3, momentum=None), nn.BatchNorm1d(3, track_running_stats=False)
    assert kinds(with_lane_layers(nn.Sequential(cumulative, stateless), NEITHER)) == ["0"]
    assert kinds(with_lane_layers(nn.Sequential(cumulative, stateless), BOTH)) == ["0"]


class OwnNorm(nn.BatchNorm1d):
    """A subclass, which may compute something else."""


def test_subclasses_stay() -> None:
    assert kinds(with_lane_layers(nn.Sequential(OwnNorm(3)), BOTH)) == []


def test_numbers_are_read_from_buffers_only_where_the_recipe_gives_them() -> None:
    every = {
        "body.1.lane_momentum": "norm_momentum",
        "body.3.lane_rate": "dropout",
        "head.2.lane_momentum": "norm_momentum",
        "head.3.lane_rate": "dropout",
    }
    assert lane_buffers(with_lane_layers(Small(), BOTH), BOTH) == every
    assert lane_buffers(with_lane_layers(Small(), NEITHER), NEITHER) == {}
    depth = with_lane_layers(nn.Sequential(StochasticDepth(0.5), nn.Dropout()), replace(NEITHER, stochastic_depth=0.25))
    assert lane_buffers(depth, BOTH) == {"0.lane_rate": "stochastic_depth"}


def shapes(model: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    return draw_shapes(model, lambda tried: tried(x), x.dtype, x.device)


def test_draws_have_the_shape_of_what_is_dropped_together() -> None:
    assert shapes(with_lane_layers(Small(), BOTH), IMAGES) == {
        "body.3.lane_uniform0": (6, 4, 1, 1),
        "head.3.lane_uniform0": (6, 8),
    }
    depth = with_lane_layers(nn.Sequential(StochasticDepth(0.5)), NEITHER)
    assert shapes(depth, torch.zeros(6, 5)) == {"0.lane_uniform0": (6, 1)}


def test_a_dropout_layer_used_twice_gets_two_draws() -> None:
    lane_layer = with_lane_layers(Twice(), NEITHER)
    x = torch.ones(4, 5)
    assert shapes(lane_layer, x) == {"drop.lane_uniform0": (4, 5), "drop.lane_uniform1": (4, 5)}
    lane_layer.drop.lane_uniform0, lane_layer.drop.lane_uniform1 = torch.zeros(4, 5), torch.ones(4, 5)
    lane_layer.drop.calls = 0
    first, second = lane_layer(x)
    assert (first == 0).all()
    assert (second == 2).all()


def test_a_twin_of_dropout_drops_by_its_draw_and_not_at_all_in_evaluation() -> None:
    lane_layer = with_lane_layers(nn.Sequential(nn.Dropout(0.25)), NEITHER)
    x = torch.randn(50, 40)
    shapes(lane_layer, x)
    uniform = torch.rand(50, 40)
    getattr(lane_layer, "0").lane_uniform0 = uniform
    getattr(lane_layer, "0").calls = 0
    assert torch.equal(lane_layer.train()(x), torch.where(uniform < 0.25, 0.0, x * (1 / 0.75)))
    assert torch.equal(lane_layer.eval()(x), x)


@pytest.mark.parametrize("momentum", [0.1, 0.75, 1.0])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 5), (7, 3, 4, 2)], ids=str)
def test_a_twin_of_batch_norm_computes_as_the_layer_does(shape: tuple[int, ...], affine: bool, momentum: float) -> None:
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    layer = kind(3, eps=1e-3, momentum=momentum, affine=affine, dtype=torch.float64)
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    lane_layer = with_lane_layers(nn.Sequential(layer), NEITHER)
    for _ in range(3):
        x = 3 + torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(lane_layer.train()(x), layer.train()(x), rtol=1e-12, atol=1e-12)
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(lane_layer.state_dict()[f"0.{name}"], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(lane_layer.eval()(x), layer.eval()(x), rtol=1e-12, atol=1e-12)
    assert lane_layer.state_dict()["0.num_batches_tracked"] == 3, "evaluation counts nothing"


class Noisy(nn.Module):
    """Draws from torch's own generator while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.linear(x), 0.5, self.training)


def draws(model: nn.Module, x: Tensor) -> bool:
    return draws_itself(model, lambda tried: tried(x), x.device)


def test_a_model_that_draws_itself_is_found_out() -> None:
    x = torch.zeros(4, 5)
    assert draws(Noisy(), x)
    assert not draws(nn.Sequential(nn.Dropout(0.0), nn.Linear(5, 2)), x)
    lane_layer = with_lane_layers(nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 2)), NEITHER)
    shapes(lane_layer, x)
    assert not draws(lane_layer, x)


def test_a_model_that_draws_in_evaluation_only_is_found_out_too() -> None:
    class Sampling(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y if self.training else y + torch.randn(y.shape[-1])

    assert draws(Sampling(5, 2), torch.zeros(4, 5))


def test_making_a_step_draws_nothing_from_the_global_generator() -> None:
    model = Noisy()
    before = torch.get_rng_state()
    assert LaneStep(model, NEITHER, Classification(), torch.zeros(4, 5)).draws_itself
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_fails_on_a_batch_is_refused() -> None:
    with pytest.raises(InputError, match=r"model fails on a training batch of shape \[4, 6\]: RuntimeError: mat1 and"):
        LaneStep(nn.Linear(5, 2), NEITHER, Classification(), torch.zeros(4, 6))
    with pytest.raises(InputError, match=r"1 value\(s\) per channel"):
        LaneStep(nn.Sequential(nn.BatchNorm1d(3)), NEITHER, Classification(), torch.zeros(1, 3))


def test_numbers_that_no_layer_reads_are_named() -> None:
    model = nn.Sequential(nn.Linear(5, 2))
    step = LaneStep(model, replace(BOTH, stochastic_depth=0.5), Classification(), torch.zeros(4, 5))
    assert step.idle_numbers == ["dropout", "norm_momentum", "stochastic_depth"]
    step = LaneStep(nn.Sequential(nn.Linear(5, 2), nn.Dropout()), BOTH, Classification(), torch.zeros(4, 5))
    assert step.idle_numbers == ["norm_momentum"]


def test_the_state_of_a_lane_is_a_copy_of_the_model() -> None:
    torch.manual_seed(0)
    model = Small()
    step = LaneStep(model, BOTH, Classification(), IMAGES)
    state = step.initial_state(model)
    weights = step.weights(state, torch.zeros(len(step.numbers)))
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    addresses = {value.data_ptr() for value in model.state_dict().values()}
    assert not addresses & {leaf.data_ptr() for leaf in state}
