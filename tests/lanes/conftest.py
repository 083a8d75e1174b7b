"""Engines that many tests share, so that each program is compiled once a session."""

from collections.abc import Callable, Iterator

import pytest
import torch

from lanewise.lanes.packs.engine import Engine
from tests.lanes.cases import MODELS, Case, engine_for, plan, rows


@pytest.fixture(scope="session")
def engine_of() -> Iterator[Callable[..., Engine]]:
    """A function of a case, the way its lanes run, and the width of their blocks."""
    made: dict[str, Engine] = {}

    def engine(case: Case, how: str, width: int = 4, dtype: torch.dtype = torch.float64) -> Engine:
        key = f"{case} {how} {width} {dtype}"
        if key not in made:
            given = plan(how, width)
            made[key] = engine_for(MODELS[case.kind], rows(case.kind), case.recipes()[0], given, dtype)
        return made[key]

    yield engine
    for each in made.values():
        each.close()
