"""Rate and decay by their product and ratio: what is drawn, the way back, and what makes no pair."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD, Adam, AdamW
from lanewise.parts.schedules import Constant, Cosine, Linear
from lanewise.recipe.coupling import coupled, rate_and_decay
from lanewise.recipe.file import dump, load
from lanewise.recipe.ranges import Log, choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe, choose, parameters_of, variables
from lanewise.report.figures.outcome import settings_that_differ
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.sampler import Sampler

PAIR = coupled(product=log(1e-7, 1e-3), ratio=log(1, 1e5))
SPACE = Recipe(optimizer=SGD(lr=PAIR * choice(Constant(), Cosine()), momentum=uniform(0, 0.9)), l2=coupled())


def numbers(recipe: Recipe) -> tuple[float, float]:
    """The rate's number and the L2 of a recipe drawn from `SPACE`."""
    return recipe.optimizer.lr.factors[0], recipe.l2


@pytest.mark.parametrize("kind", ["random", "tpe", "qmc"])
def test_product_and_ratio_are_what_the_sampler_draws(kind: str) -> None:
    sampler = Sampler(SPACE, 0, None, kind)
    for generation in range(2):
        for at, recipe in enumerate(sampler.ask(16, generation)):
            rate, decay = numbers(recipe)
            sampler.tell(16 * generation + at, abs(math.log10(rate * decay) + 5), diverged=False)
    assert not any(recipe.is_space for recipe in sampler.recipes)
    for recipe, trial in zip(sampler.recipes, sampler.study.trials, strict=True):
        assert list(trial.params) == ["lr * l2", "lr / l2", "lr.schedule", "momentum"]
        rate, decay = numbers(recipe)
        assert rate * decay == pytest.approx(trial.params["lr * l2"], rel=1e-12)
        assert rate / decay == pytest.approx(trial.params["lr / l2"], rel=1e-12)
    # Each alone is drawn evenly over its decades.
    lower = sum(trial.params["lr * l2"] < 1e-5 for trial in sampler.study.trials[:16])
    assert 3 <= lower <= 13


@given(
    st.floats(-12, 6),
    st.floats(0.001, 8),
    st.floats(-6, 6),
    st.floats(0.001, 8),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_way_back_from_a_recipe_finds_what_was_drawn(
    low: float, width: float, ratio_low: float, ratio_width: float, first: float, second: float
) -> None:
    product, ratio = log(10**low, 10 ** (low + width)), log(10**ratio_low, 10 ** (ratio_low + ratio_width))
    space = load(dump(Recipe(optimizer=AdamW(lr=coupled(product, ratio)), decay=coupled())))[0]
    drawn = {"lr * decay": product, "lr / decay": ratio}
    wanted = {
        name: min(max(each.low * (each.high / each.low) ** share, each.low), each.high)
        for (name, each), share in zip(drawn.items(), (first, second), strict=True)
    }
    recipe = choose(space, lambda name, variable: wanted[name])
    found = parameters_of(space, load(dump(recipe))[0])
    assert found == pytest.approx(wanted, rel=1e-12)
    assert all(drawn[name].holds(value) for name, value in (found or {}).items())


def test_a_recipe_added_by_hand_is_a_point_of_the_space() -> None:
    mine = Recipe(optimizer=SGD(lr=0.1 * Cosine(), momentum=0.5), l2=1e-4)
    sampler = Drawing(enqueue=(mine,)).sampler_for(SPACE, 0, None, None)
    assert sampler.ask(2, 0)[0] == mine
    params = sampler.study.trials[0].params
    assert params == pytest.approx(params | {"lr * l2": 1e-5, "lr / l2": 1e3, "momentum": 0.5})


@pytest.mark.parametrize("given", [{"l2": 0.0}, {"l2": 0.2}, {"l2": 1e-9}, {"l2": 1e-4 * Linear()}, {"l1": 0.1}])
def test_what_lies_outside_of_the_ranges_cannot_be_drawn(given: dict[str, Any]) -> None:
    assert parameters_of(SPACE, Recipe(optimizer=SGD(lr=0.1 * Cosine()), **({"l2": 1e-4} | given))) is None
    assert parameters_of(SPACE, Recipe(optimizer=SGD(lr=0.1 * Cosine()), l2=1e-4)) is not None


def test_every_optimizer_of_a_choice_makes_a_pair_of_its_own() -> None:
    space = Recipe(
        optimizer=choice(SGD(lr=PAIR), SGD(lr=coupled(choice(1e-2, 1e-1), 2.0)), AdamW(lr=PAIR)),
        l2=coupled() * Linear(),
    )
    assert [name for name, _ in variables(space)] == [
        "optimizer",
        *(
            "optimizer.sgd.lr * l2",
            "optimizer.sgd.lr / l2",
            "optimizer.sgd.lr * l2#2",
            "optimizer.adamw.lr * l2",
            "optimizer.adamw.lr / l2",
        ),
    ]
    rate, decay = rate_and_decay(1e-1, 2.0)
    found = parameters_of(space, Recipe(optimizer=SGD(lr=rate), l2=decay * Linear()))
    assert found is not None
    assert (found["optimizer"].lr.ratio, found["optimizer.sgd.lr * l2#2"]) == (2.0, 1e-1)
    assert parameters_of(space, Recipe(optimizer=SGD(lr=2 * rate), l2=decay * Linear())) is None


def test_a_optimizer_with_a_decay_of_its_own_makes_a_pair_with_it() -> None:
    space = Recipe(optimizer=AdamW(lr=PAIR * Cosine(), weight_decay=coupled()))
    assert [name for name, _ in variables(space)] == ["lr * weight_decay", "lr / weight_decay"]
    (recipe,) = Sampler(space, 0, None, "random").ask(1, 0)
    assert parameters_of(space, recipe) is not None


def test_points_of_a_grid() -> None:
    space = Recipe(optimizer=SGD(lr=coupled(product=choice(1e-5, 1e-4), ratio=choice(10, 1000))), l2=coupled())
    drawn = Sampler(space, 0, None, "grid").ask(4, 0)
    assert sorted(recipe.optimizer.lr for recipe in drawn) == pytest.approx([0.01, 0.01 * 10**0.5, 0.1, 0.1 * 10**0.5])
    assert all(parameters_of(space, recipe) for recipe in drawn)


def test_figures_show_both_on_a_logarithmic_scale() -> None:
    narrow = Recipe(optimizer=SGD(lr=coupled(product=log(1e-4, 2e-4), ratio=log(1, 2))), l2=coupled())
    recipes = Sampler(narrow, 0, None, "random").ask(4, 0)
    assert [setting.log for setting in settings_that_differ(recipes, narrow)] == [True, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"product": 1e-4}, "coupled: ratio is missing; must be coupled"),
        ({"ratio": log(1, 2)}, "coupled: product is missing; must be coupled"),
        ({"product": 1e-4, "ratio": 100}, "leaves nothing to draw; write the rate, 0.1, and the decay, 0.001"),
        ({"product": uniform(0, 1), "ratio": 1}, r"product = uniform\(0, 1\): must be a range such as"),
        ({"product": log(1, 2), "ratio": choice(1, -1)}, "ratio = -1: must be a range .* above 0"),
        ({"product": integer(1, 2), "ratio": 1}, r"product = integer\(1, 2\): must be"),
        ({"product": log(1, 2), "ratio": True}, "ratio = True: must be"),
        ({"product": log(1, 2), "ratio": Cosine()}, r"ratio = cosine\(\): must be"),
    ],
)
def test_what_is_no_product_or_ratio_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        coupled(**given)


WRONG_PLACE = "must stand where a pair does"
OTHER = Recipe().optimizer


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"optimizer": SGD(lr=PAIR)},
            r"SGD.lr = coupled\(.*: its partner is missing; write coupled\(\) for l2 or decay$",
        ),
        ({"optimizer": AdamW(lr=PAIR)}, "its partner is missing; .* or for weight_decay of adamw$"),
        ({"l2": coupled()}, r"Recipe.l2 = coupled\(\): the rate in sgd\(.* is not coupled to it; must be such as"),
        ({"optimizer": choice(SGD(lr=PAIR), Adam()), "l2": coupled()}, r"the rate in adam\(\) is not coupled"),
        ({"optimizer": SGD(lr=PAIR), "l2": coupled(), "decay": coupled()}, "Recipe.l2 and Recipe.decay are both"),
        (
            {"optimizer": AdamW(lr=PAIR, weight_decay=coupled()), "l2": coupled()},
            "Recipe.l2 and AdamW.weight_decay are both",
        ),
        ({"optimizer": SGD(lr=PAIR * PAIR), "l2": coupled()}, rf"SGD.lr \(in a product\) = .*{WRONG_PLACE}"),
        ({"optimizer": SGD(lr=0.5 * PAIR), "l2": coupled()}, rf"SGD.lr \(in a product\) = .*{WRONG_PLACE}"),
        ({"optimizer": SGD(lr=choice(0.1, PAIR)), "l2": coupled()}, rf"SGD.lr \(in a choice\) = .*{WRONG_PLACE}"),
        ({"optimizer": SGD(lr=PAIR), "l2": choice(0, coupled())}, rf"Recipe.l2 \(in a choice\) = .*{WRONG_PLACE}"),
        ({"optimizer": SGD(lr=Cosine(to=PAIR)), "l2": coupled()}, f"Cosine.to = .*{WRONG_PLACE}"),
        ({"optimizer": SGD(lr=coupled()), "l2": PAIR}, f"SGD.lr = .*{WRONG_PLACE}"),
        ({"optimizer": PAIR}, f"Recipe.optimizer = .*{WRONG_PLACE}"),
        ({"norm": coupled()}, f"Recipe.norm = .*{WRONG_PLACE}"),
        ({"batch_size": PAIR}, f"Recipe.batch_size = .*{WRONG_PLACE}"),
        (
            {"optimizer": SGD(lr=coupled(log(1e-3, 10), log(1e-3, 1))), "decay": coupled(), "decay_by": "independent"},
            r"coupled\(.*: Recipe.decay = 100.*: must be a number in \[0, 1\]",
        ),
    ],
)
def test_what_makes_no_pair_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Recipe(**given)
    assert "\n" not in str(caught.value)


def test_the_space_reads_as_it_is_written() -> None:
    text = (
        "lanewise: 1\noptimizer: sgd(lr=coupled(product=log(1e-07, 0.001), ratio=log(1, 100000.0)) * cosine())\n"
        "l2: coupled()\nbatch_size: 64\nepochs: 20\n"
    )
    assert dump(load(text)[0]) == text
    assert {type(variable) for _, variable in variables(load(text)[0])} == {Log}
    with pytest.raises(InputError, match=r"coupled needs parentheses: coupled\(\)"):
        load(text.replace("l2: coupled()", "l2: coupled"))
