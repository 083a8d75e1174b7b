"""What a recipe changes in the model itself."""

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.model.adapt import adapted
from lanewise.parts.norm import GhostBatchNorm
from lanewise.recipe.recipe import Recipe


class Narrow(nn.BatchNorm1d):
    """Another default, and nothing else."""

    def __init__(self, features: int) -> None:
        super().__init__(features, eps=0.25, momentum=0.5)


class Doubled(nn.BatchNorm1d):
    """It computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Named(nn.BatchNorm1d):
    """It holds something that the rest of a model may read."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.gain = 2.0


ROWS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
RECIPE = Recipe(ghost=4, batch_size=8)


def test_a_subclass_that_computes_the_same_is_given_virtual_batches() -> None:
    model = nn.Sequential(nn.Linear(3, 5), Narrow(5))
    made = adapted(model, RECIPE, ROWS)
    layer = made[1]
    assert isinstance(layer, GhostBatchNorm)
    assert (layer.eps, layer.momentum, layer.virtual_size) == (0.25, 0.5, 4)
    halves = nn.BatchNorm1d(5, eps=0.25)
    hidden = made[0](ROWS)
    expected = torch.cat([halves(hidden[:4]), halves(hidden[4:])])
    torch.testing.assert_close(made(ROWS), expected)
    assert type(model[1]) is Narrow, "the user's own model stays as it is"


@pytest.mark.parametrize("kind", [Doubled, Named])
def test_a_subclass_that_does_more_is_named(kind: type[nn.Module]) -> None:
    with pytest.raises(InputError, match=rf"^ghost = 4: .*: {kind.__name__}; must be none"):
        adapted(nn.Sequential(kind(3)), RECIPE, ROWS)


def test_a_model_without_batch_norm_is_refused() -> None:
    with pytest.raises(InputError, match="no batch norm layer"):
        adapted(nn.Sequential(nn.Linear(3, 5)), RECIPE, ROWS)
