"""State that a forward pass keeps in unusual places, and that shows late: each lane has its own."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.attributes.attributes import Attributes
from lanewise.lanes.attributes.plain_values import packed, unpacked
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.recipe.recipe import Recipe
from lanewise.task.task import Task
from lanewise.train import train
from tests.lanes.cases import rows

LATER: int
"""Not there before a model counts in it."""
LATE = 6
"""Passes after which the count shows."""
RECIPE = Recipe(optimizer=SGD(lr=0.1), batch_size=16, epochs=2)


class Counting(nn.Module):
    """Counts its training passes where `count` says; the passes before training are too few to see it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 9), nn.Linear(9, 4)

    def count(self) -> int:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        late = self.training and self.count() > LATE
        found: Tensor = self.last(torch.tanh(self.first(x)) * (0.5 if late else 1.0))
        return found


class Steps(NamedTuple):
    taken: int = 0


class InNamedTuple(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.steps = Steps()

    def count(self) -> int:
        self.steps = self.steps._replace(taken=self.steps.taken + 1)
        return self.steps.taken


class BesideLayer(Counting):
    """In a tuple that holds a layer as well."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = (self.first, 0)

    def count(self) -> int:
        self.pair = (self.first, self.pair[1] + 1)
        return self.pair[1]


class Slotted:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class InSlots(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.steps = Slotted()

    def count(self) -> int:
        self.steps.count += 1
        return self.steps.count


class InDefault(Counting):
    def count(self, steps: list[int] = [0]) -> int:  # noqa: B006
        steps[0] += 1
        return steps[0]


class OfFunction(Counting):
    def count(self) -> int:
        kept = OfFunction.count.__dict__
        kept["steps"] = kept.get("steps", 0) + 1
        steps: int = kept["steps"]
        return steps


class OfClass(Counting):
    steps: ClassVar[int] = 0

    @staticmethod
    def more() -> int:
        OfClass.steps += 1
        return OfClass.steps

    def count(self) -> int:
        return self.more()


class Store:
    pass


class InNewAttribute(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store()

    def count(self) -> int:
        kept = vars(self.store)
        kept["steps"] = kept.get("steps", 0) + 1
        steps: int = kept["steps"]
        return steps


class InNewKey(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {"layer": self.first}

    def count(self) -> int:
        self.store["steps"] = self.store.get("steps", 0) + 1
        steps: int = self.store["steps"]
        return steps


class InLongerList(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.store: list[Any] = [self.first]

    def count(self) -> int:
        self.store.append(1)
        return len(self.store) - 1


class InNewGlobal(Counting):
    def count(self) -> int:
        global LATER
        LATER = globals().get("LATER", 0) + 1
        steps: int = LATER
        return steps


class InIterator(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.steps = itertools.count()

    def count(self) -> int:
        return next(self.steps)


EVERYWHERE = [
    InNamedTuple,
    BesideLayer,
    InSlots,
    InDefault,
    OfFunction,
    OfClass,
    InNewAttribute,
    InNewKey,
    InLongerList,
    InNewGlobal,
]


@pytest.mark.parametrize("model", EVERYWHERE)
def test_each_lane_counts_for_itself(model: Callable[[], Counting]) -> None:
    task = Task(model, rows("mlp"))
    recipes = [RECIPE, replace(RECIPE, optimizer=SGD(lr=0.05))]
    run = Engine(task, 3, threads=1, dtype=torch.float64, note=lambda _: None)
    cohort = Cohort(run, recipes, [0])
    cohort.advance(1.0)
    losses = cohort.evaluate().loss
    run.close()
    for recipe, loss in zip(recipes, losses, strict=True):
        fresh = Attributes(task.new_model(0))
        alone = train(task, recipe, seed=3, dtype=torch.float64).validation
        # What is kept by the class, not by the model, would be found by the next one.
        fresh.put({})
        assert alone is not None
        assert loss[0] == pytest.approx(alone[0], rel=1e-9)


@pytest.mark.parametrize("model", EVERYWHERE)
def test_what_a_pass_adds_is_put_where_it_was(model: Callable[[], Counting]) -> None:
    one, other = model(), model()
    kept, elsewhere = Attributes(one), Attributes(other)
    counts = [one.count() for _ in range(3)]
    content = packed(kept.changed())
    kept.put({})
    assert one.count() == counts[0]
    kept.put({})
    # Another model of the kind, such as that of a resumed run, goes on where the first one was.
    elsewhere.put(unpacked(content))
    assert other.count() == counts[-1] + 1
    elsewhere.put({})


def test_an_iterator_is_refused() -> None:
    run = Engine(Task(InIterator, rows("mlp")), 3, threads=1, note=lambda _: None)
    with pytest.raises(InputError, match=r"^model: steps is an iterator; .*: must be a list, or a number that counts$"):
        Cohort(run, [RECIPE], [0])
    run.close()


IDENTITIES = itertools.count()


class Numbered(nn.Linear):
    def __init__(self) -> None:
        super().__init__(12, 4)
        self.name = f"layer {next(IDENTITIES)}"


def test_an_iterator_that_only_names_layers_does_no_harm() -> None:
    assert not Attributes(Numbered()).iterators
