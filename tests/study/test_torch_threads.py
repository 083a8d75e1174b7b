"""A race computes on one torch thread beside its workers, and leaves the caller's number as it was."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import lanewise as lw
from lanewise.lanes.training.cohort import Cohort

SMALL: dict[str, Any] = {
    "epochs": 1, "candidates": 2, "repeats": 1, "generations": 1, "finalists": 2, "confirm": 2, "pruner": "none",
    "progress": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    """The caller's number, unlike any that the package sets."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_race_evaluates_on_one_thread_and_gives_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    evaluate = Cohort.evaluate

    def watched(self: Cohort) -> Any:
        seen.append(torch.get_num_threads())
        return evaluate(self)

    monkeypatch.setattr(Cohort, "evaluate", watched)
    lw.race(lw.Task("mlp:4", "digits"), lw.classic(), **SMALL)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_they_come_back_after_a_race_that_was_stopped_or_failed(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def stopped(self: Cohort) -> Any:
        raise error

    monkeypatch.setattr(Cohort, "evaluate", stopped)
    with pytest.raises(error):
        lw.race(lw.Task("mlp:4", "digits"), lw.classic(), **SMALL)
    assert torch.get_num_threads() == 3
