"""Lanes in narrow blocks are scored in wide ones: all of them, each with its own weights and numbers."""

import pytest
import torch

from lanewise.lanes.training import scoring
from lanewise.lanes.training.early_stopping import Lanes
from lanewise.lanes.training.scoring import evaluated_parts, merged

WIDTH = 4


def blocks_of(lanes: int) -> list[Lanes]:
    """Blocks of four places, the last one padded; lane n of candidate 10 n has weights and numbers n."""
    found = []
    for first in range(0, lanes, WIDTH):
        own = list(range(first, min(first + WIDTH, lanes)))
        places = torch.tensor(own + [own[0]] * (WIDTH - len(own)), dtype=torch.float32)
        state = [places[:, None].expand(WIDTH, 3).clone(), places.long()]
        found.append(Lanes(tuple(10 * lane for lane in own), state, places.expand(2, WIDTH).clone()))
    return found


@pytest.mark.parametrize(
    ("lanes", "rows", "workers", "widths"),
    [(21, 360, 2, [11, 10]), (21, 360, 1, [21]), (6, 360, 2, [6]), (70, 360, 2, [32, 32, 6]), (33, 9, 1, [32, 2])],
)
def test_narrow_blocks_become_wide_ones(lanes: int, rows: int, workers: int, widths: list[int]) -> None:
    wide = merged(blocks_of(lanes), rows, workers)
    assert [block.row.shape[1] for block in wide] == widths
    assert [c for block in wide for c in block.candidates] == [10 * lane for lane in range(lanes)]
    for block in wide:
        own = torch.tensor(block.candidates) // 10
        padding = own[:1].expand(block.row.shape[1] - len(own))
        places = torch.cat([own, padding])
        assert torch.equal(block.state[0], places[:, None].expand(-1, 3).float())
        assert torch.equal(block.state[1], places)
        assert torch.equal(block.row, places.expand(2, -1).float())


def test_few_blocks_and_large_ones_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    few = blocks_of(4)
    assert merged(few, 360, 2) == few
    many = blocks_of(21)
    monkeypatch.setattr(scoring, "MERGED_BYTES", 100)
    assert merged(many, 360, 2) == many


def test_no_small_part_is_left_over() -> None:
    rows = torch.arange(360)
    assert [len(part) for part in evaluated_parts(rows, 300, by_row=True)] == [360]
    assert [len(part) for part in evaluated_parts(rows, 256, by_row=True)] == [180, 180]
    assert torch.equal(torch.cat(evaluated_parts(rows, 100, by_row=True)), rows)
