"""The table has a row for every part: schedules, optimizers, their flags, and every field and word of a recipe."""

from dataclasses import fields
from itertools import chain
from typing import Any

import pytest

from lanewise.parts.groups import ParameterGroup, Times
from lanewise.parts.optimizers import OPTIMIZERS
from lanewise.parts.part import Timed
from lanewise.parts.schedules import SCHEDULES, Product, Sequence
from lanewise.recipe.recipe import Recipe, timed_fields
from tests.parts.table import HEARING_ROWS, TABLE
from tests.parts.table_row import Row, parts_of

ROWS = (*TABLE, *HEARING_ROWS)
LANES = [recipe for row in ROWS for recipe in row.lanes]
PARTS = list(chain.from_iterable(map(parts_of, LANES)))


def test_every_kind_of_part_occurs() -> None:
    assert {type(part) for part in PARTS} == {
        *SCHEDULES, *OPTIMIZERS, Recipe, Product, Sequence, ParameterGroup, Times,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [*SCHEDULES, *OPTIMIZERS, Recipe], ids=lambda kind: kind.__name__)
def test_every_field_takes_another_value_than_its_default(kind: type) -> None:
    used = [part for part in PARTS if type(part) is kind]
    for item in fields(kind):
        assert any(getattr(part, item.name) != item.default for part in used), item.name


@pytest.mark.parametrize("kind", [*OPTIMIZERS, Recipe], ids=lambda kind: kind.__name__)
def test_every_number_that_may_change_does(kind: type) -> None:
    used = [part for part in PARTS if type(part) is kind]
    for item in timed_fields(kind()):
        values = [getattr(part, item.name) for part in used]
        assert any(isinstance(value, Timed) for value in values), item.name
        assert any(isinstance(value, float) for value in values), item.name


@pytest.mark.parametrize("kind", [*SCHEDULES, *OPTIMIZERS, Recipe], ids=lambda kind: kind.__name__)
def test_every_word_and_both_sides_of_every_flag_occur(kind: type) -> None:
    used = [part for part in PARTS if type(part) is kind]
    for item in fields(kind):
        wanted: tuple[Any, ...] = (True, False) if item.metadata.get("flag") else item.metadata.get("words", ())
        assert all(any(getattr(part, item.name) == value for part in used) for value in wanted), item.name


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rows_are_well_made(row: Row) -> None:
    assert sum(other.name == row.name for other in ROWS) == 1
    assert len(set(row.lanes)) == len(row.lanes) >= 3
    assert row.without not in row.lanes
