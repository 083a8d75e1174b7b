"""A lane does not notice its neighbours: whatever stands beside it, it stays the same to the last bit."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import pytest
import torch

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.cohort import Cohort
from lanewise.recipe.recipe import Recipe
from tests.lanes.cases import CNN_SGD, MLP_SGD, Case, bits_of, engine_for, faster, plan, rows, trained

EngineOf = Callable[..., Engine]
PROGRESS = 0.1
"""Share of a run after which lanes are compared: 20 steps."""
RUINOUS = 1e30


@dataclass(frozen=True)
class Setting:
    """How lanes run."""

    case: Case
    how: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.case}-{self.how}-{str(self.dtype).removeprefix('torch.')}"


SETTINGS = [
    Setting(case, how, dtype)
    for case in (MLP_SGD, CNN_SGD)
    for how in ("packed", "compiled")
    for dtype in (torch.float32, torch.float64)
]
every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=str)


def arrangements(recipes: Sequence[Recipe]) -> dict[str, tuple[list[Recipe], dict[int, int]]]:
    """What the four `recipes` are trained among: the recipes of a cohort, and the place of each of the four in it."""
    a, b, c, d = recipes
    hot = [faster(recipe, 3.0) for recipe in recipes]
    return {
        "other neighbours": ([a, *hot[1:]], {0: 0}),
        "other places": ([c, d, b, a], {2: 0, 3: 1, 1: 2, 0: 3}),
        "two lanes": ([b, d], {1: 0, 3: 1}),
        "three lanes": ([d, a, c], {3: 0, 0: 1, 2: 2}),
        "a second block": ([*hot, a, b, c], {0: 4, 1: 5, 2: 6}),
        "alone": ([c], {2: 0}),
        "beside one that diverges": ([a, faster(b, RUINOUS), c, d], {0: 0, 2: 2, 3: 3}),
    }


ARRANGEMENTS = list(arrangements(MLP_SGD.recipes()))


def assert_same(cohort: Cohort, places: dict[int, int], reference: Cohort) -> None:
    """The lanes of both cohorts agree in every bit, their scores too."""
    mine, expected = cohort.evaluate(), reference.evaluate()
    assert cohort.progress == reference.progress
    differing = [c for c, place in places.items() if bits_of(cohort, place) != bits_of(reference, c)]
    assert not differing
    for candidate, place in places.items():
        assert mine.loss[place, 0] == expected.loss[candidate, 0]
        assert mine.metric[place, 0] == expected.metric[candidate, 0]


@pytest.fixture(scope="module")
def reference_of(engine_of: EngineOf) -> Callable[..., Cohort]:
    """A function of (case, how, dtype): its four recipes in a block of four."""

    @cache
    def reference(case: Case, how: str, dtype: torch.dtype) -> Cohort:
        return trained(engine_of(case, how, 4, dtype), case.recipes(), PROGRESS)

    return reference


@every_setting
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_lane_is_the_same_among_others(
    setting: Setting, arrangement: str, engine_of: EngineOf, reference_of: Callable[..., Cohort]
) -> None:
    engine = engine_of(setting.case, setting.how, 4, setting.dtype)
    some, places = arrangements(setting.case.recipes())[arrangement]
    cohort = trained(engine, some, PROGRESS)
    assert_same(cohort, places, reference_of(setting.case, setting.how, setting.dtype))
    assert (cohort.diverged != {}) is ("diverges" in arrangement)


@every_setting
@pytest.mark.parametrize("staying", [(0, 2), (1, 2, 3), (3,)], ids=str)
def test_a_lane_is_the_same_when_others_leave(
    setting: Setting, staying: tuple[int, ...], engine_of: EngineOf, reference_of: Callable[..., Cohort]
) -> None:
    engine = engine_of(setting.case, setting.how, 4, setting.dtype)
    recipes = setting.case.recipes()
    reference = reference_of(setting.case, setting.how, setting.dtype)
    cohort = trained(engine, [*recipes, *recipes], PROGRESS / 2)
    # The second copy of each recipe: the survivors of two blocks close up into one.
    cohort.keep([4 + candidate for candidate in staying])
    cohort.advance(PROGRESS)
    assert cohort.live == [4 + candidate for candidate in staying]
    assert_same(cohort, {candidate: 4 + candidate for candidate in staying}, reference)


@pytest.mark.parametrize("width", [2, 3, 32])
@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.how == "packed"], ids=str)
def test_a_lane_is_the_same_in_narrower_and_wider_blocks(
    setting: Setting, width: int, engine_of: EngineOf, reference_of: Callable[..., Cohort]
) -> None:
    cohort = trained(engine_of(setting.case, "packed", width, setting.dtype), setting.case.recipes(), PROGRESS)
    assert_same(cohort, dict(enumerate(range(4))), reference_of(setting.case, "packed", setting.dtype))


@pytest.mark.parametrize("case", [MLP_SGD, CNN_SGD], ids=str)
def test_a_lane_is_the_same_in_a_wider_compiled_program(
    case: Case, engine_of: EngineOf, reference_of: Callable[..., Cohort]
) -> None:
    cohort = trained(engine_of(case, "compiled", 8, torch.float32), case.recipes(), PROGRESS)
    assert_same(cohort, dict(enumerate(range(4))), reference_of(case, "compiled", torch.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("model", ["mlp:7,5", "mlp:33,9", "cnn:5,6", "cnn:3,8"])
def test_a_lane_is_the_same_where_no_size_is_round(model: str, dtype: torch.dtype) -> None:
    # A lane's matrices then start at addresses that depend on its place, by which MKL may choose how to add; and
    # oneDNN takes another way where a grouped convolution has less than eight channels in all.
    if model.startswith("cnn") and dtype == torch.float64:
        pytest.skip("float64 convolutions need channels in fours")
    case = MLP_SGD if model.startswith("mlp") else CNN_SGD
    recipes = case.recipes()
    engine = engine_for(model, rows(case.kind), recipes[0], plan("packed"), dtype)
    reference = trained(engine, recipes, PROGRESS)
    for arrangement in ("other places", "two lanes", "three lanes", "a second block", "alone"):
        some, places = arrangements(recipes)[arrangement]
        assert_same(trained(engine, some, PROGRESS), places, reference)
    engine.close()


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="torch multiplies without MKL here")
def test_the_engine_makes_products_independent_of_addresses() -> None:
    # MKL reads this setting at the first product of a process, so that only a fresh one can tell.
    program = """
import torch
from lanewise.lanes.packs.engine import Engine
from lanewise.task.task import Task
Engine(Task("mlp", (torch.rand(40, 3), torch.arange(40) % 2)), 0)
for rows, inner, columns in ((17, 13, 4), (16, 7, 5), (359, 128, 10)):
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    each = torch.bmm(left.repeat(5, 1, 1), right.repeat(5, 1, 1))
    assert all(torch.equal(each[0], one) for one in each), (rows, inner, columns)
"""
    clean = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="torch multiplies without MKL here")
@pytest.mark.parametrize(
    ("first", "noted"),
    [("torch.ones(9, 9) @ torch.ones(9, 9)", True), ("import lanewise", False), ("torch.ones(3) + 1", False)],
    ids=["a product before", "lanewise first", "no product before"],
)
def test_the_engine_says_where_mkl_was_asked_too_late(first: str, noted: bool) -> None:
    program = f"""
import torch
{first}
from lanewise.lanes.packs.engine import Engine
from lanewise.task.task import Task
notes = []
Engine(Task("mlp", (torch.rand(40, 3), torch.arange(40) % 2)), 0, note=notes.append)
assert any("last bits may depend on its place: import lanewise first" in line for line in notes) is {noted}, notes
"""
    clean = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
