"""Branches that few batches take, and plans for packs that a model cannot follow: lanes equal each trained alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lanewise.lanes.attributes.stores import may_store
from lanewise.lanes.training.cohort import Cohort
from tests.lanes.cases import plan
from tests.lanes.test_real_modules import Branching, alone, engine, losses_of, recipe_of

RARE: dict[str, Callable[[Tensor], bool]] = {
    "if": lambda x: bool(x.sum() > 22),
    "nonzero": lambda x: len(torch.nonzero(x > 2.9)) > 0,
    "masked": lambda x: x[x > 2.9].numel() > 0,
    "where": lambda x: torch.where(x > 2.9)[0].shape[0] > 0,
    "unique": lambda x: torch.unique(x.sum(1) > 10).numel() > 1,
    "repeated": lambda x: torch.repeat_interleave((x > 2.9).any(1).int()).numel() > 0,
    "dlpack": lambda x: bool(np.from_dlpack(x.detach()).sum() > 22),
    "text": lambda x: f"{x.detach().sum():09.3f}" > "00022.000",
    "asserted": lambda x: raises(lambda: torch._assert_async(x.sum() <= 22)),  # type: ignore[no-untyped-call]
}
"""Looks at values that go one way in nearly all batches."""


def raises(function: Callable[[], object]) -> bool:
    try:
        function()
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("name", RARE)
def test_a_rare_branch_uses_its_own_parameters(name: str, skips: bool) -> None:
    ways: set[bool] = set()

    class Rare(Branching):
        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.tanh(self.first(x))
            if self.training and not ways:
                # As the passes of trials see it: every batch goes the usual way.
                return self._of(hidden, RARE[name](x) and False)
            return self._of(hidden, RARE[name](x))

        def _of(self, hidden: Tensor, rare: bool) -> Tensor:
            if skips:
                found: Tensor = self.last(hidden) + (0.0 if rare else self.other(hidden))
            else:
                found = self.other(hidden) if rare else self.last(hidden)
            return found

    recipes = [recipe_of(rate=0.1), recipe_of(rate=0.05)]
    run = engine(Rare, plan("packed"), recipes[0])
    cohort = Cohort(run, recipes, [0, 1])
    (chosen,) = run.plans.values()
    assert not chosen.packed
    ways.add(True)
    cohort.advance(1.0)
    assert cohort.evaluate().loss == pytest.approx(alone(Rare, recipes), rel=1e-9)
    run.close()


def test_an_attribute_that_only_a_rare_branch_changes_goes_with_each_lane() -> None:
    class Counting(Branching):
        """Counts the batches with a large sum, and multiplies by the count."""

        def __init__(self) -> None:
            super().__init__()
            self.large = 0

        def forward(self, x: Tensor) -> Tensor:
            if self.training and x.sum() > 12:
                self.large += 1
            found: Tensor = self.last(torch.tanh(self.first(x))) * (1 + 0.1 * self.large)
            return found

    notes: list[str] = []
    recipes = [recipe_of(rate=0.1), recipe_of(rate=0.05)]
    run = engine(Counting, plan("looped"), recipes[0], notes)
    assert losses_of(run, recipes) == pytest.approx(alone(Counting, recipes), rel=1e-9)
    run.close()


def test_code_that_stores_is_known_from_code_that_does_not() -> None:
    class Reads(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            scale = 2.0 if x.sum() > 0 else 1.0
            return super().forward(x) * scale

    class Stores(Reads):
        def forward(self, x: Tensor) -> Tensor:
            self.seen = x.shape
            return super().forward(x)

    class Appends(Reads):
        def note(self, x: Tensor) -> None:
            self.extra_repr().join([]).split().append("x")

    assert not may_store(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()))
    assert not may_store(nn.Sequential(Reads(2, 2)))
    assert may_store(nn.Sequential(Stores(2, 2)))
    assert may_store(nn.Sequential(Appends(2, 2)))


@pytest.mark.parametrize("norm", [torch.nn.utils.spectral_norm, torch.nn.utils.parametrizations.spectral_norm])
def test_a_packed_plan_of_a_model_that_cannot_be_packed_is_looped(norm: Callable[[nn.Module], nn.Module]) -> None:
    def model() -> nn.Module:
        return nn.Sequential(norm(nn.Linear(12, 9)), nn.Tanh(), nn.Linear(9, 4))

    notes: list[str] = []
    recipes = [recipe_of(rate=0.1), recipe_of(rate=0.05)]
    run = engine(model, plan("packed"), recipes[0], notes)
    assert losses_of(run, recipes) == pytest.approx(alone(model, recipes), rel=1e-9)
    (chosen,) = run.plans.values()
    assert (chosen.packed, chosen.compiled) == (False, False)
    assert any("does not fit" in note and "cannot be packed" in note for note in notes)
    run.close()
