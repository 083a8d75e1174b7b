"""Compiled packs: each lane is the recipe alone in plain PyTorch, and one program serves every pack of a structure."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from tests.lanes.cases import group_of
from tests.parts.table import NUMBER_ROWS, TABLE, TOGETHER_ROWS
from tests.parts.table_row import LIVELY, Row, recipe
from tests.parts.table_runs import PLANS, alone, distance, engine, everything, lane, structure
from tests.parts.table_schedules import SCHEDULE_ROWS

TOLERANCE = 1e-9
LIVELY_STRUCTURE = structure(SCHEDULE_ROWS[0].lanes[0])
COMPILED = tuple(
    row
    for row in TABLE
    if row in TOGETHER_ROWS or (row in (*SCHEDULE_ROWS, *NUMBER_ROWS) and structure(row.lanes[0]) == LIVELY_STRUCTURE)
)
"""Three programs: schedules and numbers share one, and the two others hold the rest of the kinds of parts together."""

pytestmark = pytest.mark.slow
every_row = pytest.mark.parametrize("row", COMPILED, ids=str)


@pytest.fixture(scope="module", autouse=True)
def _no_library_is_there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an earlier session compiled would leave nothing to be counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANEWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def compilations() -> dict[str, Any]:
    """torch's own counters of what Dynamo and Inductor have done in this process."""
    from torch._dynamo.utils import counters
    from torch._inductor import metrics

    kernels = {"kernels": metrics.generated_kernel_count, "nodes": metrics.ir_nodes_pre_fusion}
    return {**{kind: dict(counts) for kind, counts in counters.items() if counts}, **kernels}


@cache
def first_pack(model: str, of: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The counters before and after the first pack of a structure."""
    before = compilations()
    Cohort(engine("compiled", model), everything("compiled", model)[of][:3], [0]).advance(0.1)
    return before, compilations()


def test_the_selection_has_every_kind_of_part() -> None:
    assert {structure(row.lanes[0]) for row in COMPILED} == {
        LIVELY_STRUCTURE,
        *(structure(row.lanes[0]) for row in TOGETHER_ROWS),
    }
    assert {*SCHEDULE_ROWS, *TOGETHER_ROWS} <= set(COMPILED)
    assert {row.name for row in NUMBER_ROWS} - {row.name for row in COMPILED} == {"the model's own rates"}
    assert PLANS["compiled"].compiled


@every_row
def test_each_lane_is_the_recipe_alone_in_plain_pytorch(row: Row) -> None:
    first_pack(row.model, structure(row.lanes[0]))
    for each in row.lanes:
        assert distance(lane("compiled", row.model, each), alone(row.model, each)) < TOLERANCE


@pytest.mark.parametrize("row", [SCHEDULE_ROWS[0], *TOGETHER_ROWS], ids=str)
def test_the_second_pack_of_a_structure_compiles_nothing(row: Row) -> None:
    before, after = first_pack(row.model, structure(row.lanes[0]))
    assert after["kernels"] > before["kernels"], "the counters see what is compiled"
    run = engine("compiled", row.model)
    prepared = run.prepare(row.lanes[0], 0, 3, 1, 0)
    seconds, now = run.costs.compile, compilations()
    other = Cohort(run, [*row.lanes[1:], row.lanes[0], *row.lanes], [0, 1])
    other.advance(0.2)
    other.evaluate()
    other.keep([1, 2, 4])
    other.advance(0.4)
    assert compilations() == now
    assert run.costs.compile == seconds > 0
    assert group_of(other).prepared is prepared


def test_eager_packs_compile_nothing_at_all() -> None:
    before = compilations()
    eager = Cohort(engine("packed", "mlp"), [recipe(SGD(lr=0.1), **LIVELY)] * 3, [0])
    eager.advance(0.5)
    eager.evaluate()
    assert compilations() == before
