"""Turned hidden activations hold the same numbers, and only models that gain by it are turned."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from lanewise.lanes.compile.capture import capture, overwrite
from lanewise.lanes.compile.compiled import Fused
from lanewise.lanes.compile.feature_major import drop_idle_views, feature_major, gains, groups
from lanewise.lanes.step.program import train_program
from lanewise.lanes.step.step import LaneStep
from lanewise.recipe.recipe import Recipe
from lanewise.task.objectives import Classification

LANES, ROWS = 3, 6
RECIPE = Recipe(dropout=0.5, norm_momentum=0.25)


class OwnBlock(nn.Module):
    """A user's module that calls functions instead of layers, with a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(5, 7), nn.BatchNorm1d(7)
        self.second, self.last = nn.Linear(7, 7, bias=False), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.norm(self.first(x)))
        found: Tensor = self.last(hidden + torch.sigmoid(self.second(hidden)))
        return found


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7, bias=False), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 4))


def square() -> nn.Module:
    """Every size equals the number of rows, so that shapes alone tell nothing apart."""
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6), nn.BatchNorm1d(6))


def layer_normed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.ReLU(), nn.Linear(7, 4))


def biased() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4))


def traced(make: Callable[[], nn.Module]) -> tuple[GraphModule, list[Tensor]]:
    """The graph of a training step of `make()`, and inputs for it; lanes differ."""
    torch.manual_seed(0)
    x, y = torch.randn(ROWS, 5, dtype=torch.float64), torch.arange(ROWS) % 4
    model = make().double()
    step = LaneStep(model, RECIPE, Classification(), x, y)
    state = [leaf.expand(LANES, *leaf.shape).clone() for leaf in step.initial_state(model)]
    state = [leaf + 0.1 * torch.rand_like(leaf) if leaf.is_floating_point() else leaf for leaf in state]
    numbers = torch.rand(len(step.numbers), LANES, dtype=torch.float64)
    draws = [torch.rand(shape, dtype=torch.float64) for shape in step.draws.values()]
    inputs = [*state, numbers, x, y, *draws]
    step.model("train")
    return make_fx(train_program(step, packed=True), tracing_mode="real")(*inputs), inputs


@pytest.mark.parametrize("make", [normed, OwnBlock, square, layer_normed, biased])
def test_a_turned_graph_gives_the_same_numbers(make: Callable[[], nn.Module]) -> None:
    graph, inputs = traced(make)
    expected = [value.clone() for value in graph(*inputs)]
    for mine, value in zip(feature_major(graph)(*inputs), expected, strict=True):
        torch.testing.assert_close(mine, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("make", "turned"), [(normed, 1), (OwnBlock, 1), (layer_normed, 0), (biased, 0)])
def test_what_is_summed_over_rows_is_turned(make: Callable[[], nn.Module], turned: int) -> None:
    graph, _ = traced(make)
    drop_idle_views(graph.graph)
    assert sum(map(gains, groups(graph.graph))) == turned
    feature_major(graph)
    assert not any(gains(group) for group in groups(graph.graph)), "what is turned is not turned again"


def test_a_state_that_trades_places_is_overwritten_as_if_at_once() -> None:
    graph = make_fx(lambda a, b: [b, a, a.sum() + b.sum()])(torch.zeros(2), torch.zeros(2))
    assert overwrite(graph) == 2
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    assert graph(a, b)[0].item() == 11
    assert (a.tolist(), b.tolist()) == ([3.0, 5.0], [1.0, 2.0])


def test_a_fused_program_leaves_the_state_it_is_called_with_and_overwrites_its_own() -> None:
    examples = [torch.zeros(2, 3), torch.zeros(3)]
    graph = capture(lambda a, x: [a + x, a.sum()], examples)
    overwrite(graph)
    program = Fused(graph, examples, 1)
    state, x = torch.ones(3, 2).t(), torch.arange(6.0)[::2]
    after, loss = program(state, x)
    assert (state == 1).all()
    assert loss.item() == 6
    assert after.tolist() == [[1.0, 3.0, 5.0]] * 2
    own = program.own([state])
    again, _ = program.step(*own, x)
    assert again is own[0]
    assert torch.equal(again, after)
    assert again.stride() == examples[0].stride(), "as compiled for, whatever was given"
    with pytest.raises(AssertionError, match=r"compiled for \[2, 3\] was given \[4, 3\]"):
        program(torch.zeros(4, 3), x)
