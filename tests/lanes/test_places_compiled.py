"""Equal lanes of a compiled program have equal bits, whatever the number of lanes and the width of vectors."""

import pytest
from torch import nn

import lanewise as lw
from lanewise.parts.optimizers import Optimizer
from lanewise.recipe.recipe import Recipe
from tests.lanes.test_places import Trained, optimizer_of, perceptron

pytestmark = pytest.mark.slow


def unequal(kind: type[Optimizer], lanes: int) -> list[int]:
    """The places in a compiled pack of `lanes` equal lanes whose bits are not those of the first."""
    of = Recipe(optimizer=optimizer_of(kind), batch_size=11, epochs=1, dropout=0.3, norm_momentum=0.3)
    return Trained(network, of, how="compiled", width=lanes).unequal(lanes)


def network() -> nn.Module:
    return perceptron(nn.SiLU())


def test_vectors_of_this_processor() -> None:
    assert unequal(lw.ScheduleFreeAdamW, 17) == []


def test_vectors_of_256_bits() -> None:
    from torch._inductor import config

    # Not by monkeypatch, which would leave the setting hidden for all tests to come.
    with config.patch({"cpp.simdlen": 256}):
        assert unequal(lw.ScheduleFreeSGD, 9) == []
