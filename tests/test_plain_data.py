"""What is read back from a record is checked before anything is made of it."""

from dataclasses import dataclass

import pytest

from lanewise.base.plain_data import check_kinds, checked, whole
from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import Candidate


@dataclass(frozen=True)
class Counts:
    steps: int
    by_repeat: dict[int, int]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_whole_numbers_that_no_table_holds_are_damage(value: int) -> None:
    with pytest.raises(ValueError, match="steps"):
        checked(Counts(value, {}))
    with pytest.raises(ValueError, match="by_repeat"):
        checked(Counts(1, {0: value}))
    with pytest.raises(ValueError, match="steps"):
        check_kinds({"steps": value}, {"steps": int})
    with pytest.raises(ValueError, match="steps"):
        whole("steps", value)


def test_the_largest_whole_numbers_are_read() -> None:
    assert checked(Counts(2**63 - 1, {0: -(2**63)})).steps == 2**63 - 1


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ({"curves": [[0, []]]}, "points of four numbers"),
        ({"curves": [[0, 3]]}, "must be a list"),
        ({"curves": [[0, [[0.5, 1.0, 1.0]]]]}, "points of four numbers"),
        ({"diverged": [[0, 10**20]]}, "diverged"),
        ({"generation": 10**20}, "generation"),
    ],
    ids=["empty curve", "no curve", "short point", "step", "generation"],
)
def test_a_damaged_candidate_is_refused(damage: dict[str, object], error: str) -> None:
    whole_one = Candidate(3, Recipe(), 1, curves={0: [(0.5, 1.0, 2.0, 0.5)]}).to_dict()
    assert Candidate.from_dict(whole_one, Recipe()).curves == {0: [(0.5, 1.0, 2.0, 0.5)]}
    with pytest.raises((TypeError, ValueError), match=error):
        Candidate.from_dict(whole_one | damage, Recipe())
