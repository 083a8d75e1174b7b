"""Every recipe of the table is the same recipe after a way through text."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from lanewise.parts.part import Part
from lanewise.recipe.file import dump, from_dict, load, read, save, to_dict
from lanewise.recipe.language import parse
from lanewise.recipe.recipe import Recipe
from tests.parts.table import HEARING_ROWS, TABLE
from tests.parts.table_row import Row

every_row = pytest.mark.parametrize("row", [*TABLE, *HEARING_ROWS], ids=str)


def same(mine: Any, theirs: Any) -> bool:
    """Equal, and of the same types throughout: 1 is not 1.0."""
    return bool(mine == theirs) and repr(mine) == repr(theirs)


@every_row
def test_through_yaml(row: Row, tmp_path: Path) -> None:
    for recipe in (*row.lanes, row.without):
        assert same(load(dump(recipe))[0], recipe)
        assert same(from_dict(to_dict(recipe)), recipe)
        save(recipe, tmp_path / "recipe.yaml", {"data": "digits"})
        read_back, task = read(tmp_path / "recipe.yaml")
        assert same(read_back, recipe)
        assert task == {"data": "digits"}


@every_row
def test_through_expressions(row: Row) -> None:
    for recipe in row.lanes:
        values = [getattr(recipe, item.name) for item in fields(Recipe)]
        values += [getattr(recipe.optimizer, item.name) for item in fields(recipe.optimizer)]
        parts = [value for value in values if isinstance(value, Part)]
        assert recipe.optimizer in parts
        for part in parts:
            assert same(parse(str(part)), part)


@every_row
def test_the_program_does_not_depend_on_the_numbers(row: Row) -> None:
    assert len({recipe.structure() for recipe in row.lanes}) == 1
    assert len({str(recipe.structure()) for recipe in map(from_dict, map(to_dict, row.lanes))}) == 1
