"""Spaces of many structures: candidates come from a few, later from the best of them, the same in every process."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD, AdamW
from lanewise.recipe.ranges import choice, log
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import Facts, suited
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.sampler import Sampler

SPACE = suited(
    Facts(rows=1_000, pictures=True, mixes=True, smooths=True, converts=True, norm_momentum=(0.1,), epochs=40)
)
NAMED = {"adam": Recipe(optimizer=AdamW()), "sgd": Recipe(optimizer=SGD())}


def structures(recipes: list[Recipe]) -> Counter[Any]:
    return Counter(recipe.structure() for recipe in recipes)


def told(sampler: Sampler, losses: list[float | None]) -> None:
    first = len(sampler.recipes) - len(losses)
    for at, loss in enumerate(losses):
        sampler.tell(first + at, loss, diverged=False)


@pytest.mark.parametrize("kind", ["tpe", "random", "qmc"])
@pytest.mark.parametrize(("sizes", "most"), [([6, 5, 5], 4), ([16, 16, 16], 5), ([80, 80, 80], 6)])
def test_structures_are_few_and_grow_with_the_candidates(kind: str, sizes: list[int], most: int) -> None:
    sampler = Sampler(SPACE, 1, kind=kind)
    for generation, size in enumerate(sizes):
        drawn = sampler.ask(size, generation)
        told(sampler, [0.1 * at for at in range(size)])
        assert len(structures(drawn)) <= most
        assert min(structures(drawn).values()) >= size // 5 or size < 16
    assert 2 <= len(structures(sampler.recipes)) <= most
    assert len(set(sampler.texts)) == sum(sizes)


def test_a_later_generation_keeps_the_best_structures() -> None:
    sampler = Sampler(SPACE, 0)
    first = sampler.ask(60, 0)
    best = first[3].structure()
    told(sampler, [0.1 if recipe.structure() == best else 0.5 for recipe in first])
    second = structures(sampler.ask(60, 1))
    assert best in second
    assert len(second) < len(structures(first))


def test_the_first_generation_tries_every_optimizer() -> None:
    drawn = Sampler(SPACE, 0).ask(60, 0)
    assert {recipe.optimizer.name for recipe in drawn} == {"adamw", "sgd", "muon", "schedule_free_adamw"}


def test_a_small_race_comes_to_the_others_later() -> None:
    sampler = Sampler(SPACE, 0)
    for generation in range(3):
        told(sampler, [0.5] * len(sampler.ask(5, generation)))
    assert {recipe.optimizer.name for recipe in sampler.recipes} == {"adamw", "sgd", "muon", "schedule_free_adamw"}


def test_a_replayed_sampler_draws_the_same(tmp_path: Path) -> None:
    sampler = Sampler(SPACE, 7, tmp_path / "study.db")
    for name, recipe in NAMED.items():
        sampler.enqueue(recipe, name)
    sampler.ask(8, 0)
    sampler.report(0, 1, 0.4)
    told(sampler, [None, 0.2, 0.3, None, 0.1, 0.6, None, 0.5])
    journal, texts = list(sampler.journal), list(sampler.texts)
    expected = sampler.ask(8, 1)
    sampler.close()
    again = Sampler.replayed(SPACE, 7, tmp_path / "study.db", journal, texts)
    assert again.names == ["adam", "sgd", *[""] * 6]
    assert again.ask(8, 1) == expected
    again.close()


def test_a_space_of_few_structures_is_left_to_the_sampler() -> None:
    space = Recipe(optimizer=choice(SGD(lr=log(0.01, 1)), AdamW(lr=log(1e-4, 1e-2))), norm=choice("own", "layer"))
    assert len(structures(Sampler(space, 0, kind="random").ask(30, 0))) == 4


def test_a_grid_goes_through_all_structures() -> None:
    space = Recipe(
        optimizer=SGD(lr=0.1), norm=choice("own", "layer", "group"), batch_size=choice(8, 16, 32), epochs=choice(2, 3)
    )
    assert len(structures(Sampler(space, 0, kind="grid").ask(18, 0))) == 18


def test_the_portfolio_is_half_of_a_generation_at_the_most() -> None:
    sampler = Sampler(SPACE, 0)
    for at in range(4):
        sampler.enqueue(Recipe(l2=0.1 * at), f"usual {at}")
    sampler.ask(3, 0)
    assert sampler.names == ["usual 0", "usual 1", ""]
    sampler.ask(3, 1)
    assert sampler.names[3:] == ["usual 2", "usual 3", ""]


def test_a_portfolio_is_on_record() -> None:
    drawing = Drawing(portfolio=tuple(NAMED.items()))
    assert Drawing.recorded(drawing.to_dict(), "run.json") == drawing
    with pytest.raises(InputError, match="has ranges"):
        Drawing(portfolio=(("space", SPACE),))
