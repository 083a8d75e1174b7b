"""Memory: what lanes take, and going on with fewer at a time where there is not enough."""

import os
from typing import Any

import pytest
import torch
from torch import nn

from lanewise.errors import InputError
from lanewise.lanes.compile.peak_memory import peak_bytes
from lanewise.lanes.machine.memory import available_bytes, is_out_of_memory
from lanewise.lanes.packs import fitting
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.fitting import bytes_of_a_step, fitting_width
from lanewise.lanes.packs.plan import EAGER_WIDTH, Plan
from lanewise.lanes.packs.trials import Trial
from lanewise.lanes.training.checkpoint import restore, state_of
from lanewise.lanes.training.cohort import Cohort
from lanewise.task.task import Task
from tests.lanes.cases import MLP_SGD, MODELS, bits_of, group_of, pack_of, rows

CPU = torch.device("cpu")


def refused() -> RuntimeError:
    """What torch raises where the C library gives it no memory."""
    with pytest.raises(RuntimeError, match="allocate") as found:
        torch.empty(2**55, dtype=torch.uint8)
    return found.value


def test_running_out_of_memory_is_known_from_other_errors() -> None:
    assert is_out_of_memory(refused())
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_the_peak_counts_what_lives_at_once() -> None:
    size = 4 * 1000
    assert peak_bytes(lambda: [torch.ones(1000) for _ in range(10)]) == 10 * size
    assert peak_bytes(lambda: [torch.ones(1000) for _ in range(10)].clear()) == 10 * size
    assert size <= peak_bytes(lambda: [torch.ones(1000).sum() for _ in range(10)]) < 2 * size
    layer, x = nn.Linear(100, 100, bias=False), torch.zeros(50, 100)
    # The outputs, and the gradient of the weights.
    assert peak_bytes(lambda: layer(x).sum().backward()) >= 4 * (50 * 100 + 100 * 100)


def test_free_memory_is_in_bytes_and_no_more_than_the_machine_has() -> None:
    free = available_bytes(CPU)
    assert free is not None
    # A thousandth of what any machine that runs these tests has would be less.
    assert 2**26 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_what_torch_keeps_of_a_gpu_is_free_for_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert available_bytes(torch.device("cuda")) == 100 + 700 - 200


def test_blocks_are_as_wide_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = MLP_SGD.recipes()[0]
    plan = Plan(packed=True, compiled=False, width=2, workers=1, threads=1)
    engine = Engine(Task(MODELS["mlp"], rows("mlp")), 7, threads=1, plans={str(recipe.structure()): plan})
    tried, notes = group_of(Cohort(engine, [recipe], [0])).prepared.trial, []
    at_rest = sum(leaf.numel() * leaf.element_size() for leaf in tried.state)
    at_work = bytes_of_a_step(tried)
    assert at_work > at_rest

    def width(free: float) -> int:
        monkeypatch.setattr(fitting, "available_bytes", lambda device: int(free))
        return fitting_width(tried, 100, 2, at_work, notes.append)

    wanted = 100 * at_rest + 2 * 6.5 * at_work
    assert width(wanted / fitting.USABLE) == 6
    assert "at most 6 lanes" in notes[-1]
    assert width(1e12) == EAGER_WIDTH
    assert len(notes) == 1
    with pytest.raises(InputError, match=r"states of 100 lanes take .* GiB and .* are free"):
        width(99 * at_rest)


class Small:
    """A program that runs out of memory where it is given more lanes than `most`, in the way torch does."""

    def __init__(self, program: Any, most: int) -> None:
        self.program, self.most, self.refusals = program, most, 0

    def __call__(self, *flat: Any) -> Any:
        if len(flat[0]) > self.most:
            self.refusals += 1
            raise refused()
        return self.program(*flat)


def race(most: int, how: Plan, notes: list[str]) -> tuple[Cohort, list[Small]]:
    """Six lanes in two repeats, with cool-down and losses, where blocks of more than `most` lanes have no memory."""
    recipes = MLP_SGD.recipes()[:1] * 2 + MLP_SGD.recipes()[:4]
    task, key = Task(MODELS["mlp"], rows("mlp")), str(recipes[0].structure())
    engine = Engine(task, 7, threads=how.workers, plans={key: how}, note=notes.append)
    cohort = Cohort(engine, recipes, [0, 1])
    small: list[Small] = []

    def limit() -> None:
        prepared = group_of(cohort).prepared
        small.append(Small(prepared.train, most))
        object.__setattr__(prepared, "train", small[-1])

    narrowed = engine.narrowed

    def limited(prepared: Any) -> Any:
        object.__setattr__(prepared, "train", prepared.train.program)
        found = narrowed(prepared)
        if found is not None:
            object.__setattr__(found, "train", Small(found.train, most))
        return found

    engine.narrowed = limited  # type: ignore[method-assign]
    limit()
    cohort.advance(0.25)
    cohort.evaluate()
    cohort.cool_down(0.1)
    cohort.keep([0, 2, 3, 4, 5])
    cohort.advance(0.5)
    cohort.evaluate()
    return cohort, small


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cohort_goes_on_with_fewer_lanes_at_a_time_and_the_same_bits(workers: int) -> None:
    how, notes = Plan(packed=True, compiled=False, width=6, workers=workers, threads=1), []
    whole, _ = race(99, how, [])
    cut, small = race(2, how, notes)
    assert small[0].refusals >= 1
    assert [note for note in notes if note.startswith("out of memory")][-1].startswith(
        "out of memory; from now on eager packs of up to 2 lanes"
    )
    (chosen,) = cut.engine.plans.values()
    assert chosen.width == 2
    assert cut.curves == whole.curves
    for candidate in whole.live:
        for repeat in (0, 1):
            assert bits_of(whole, candidate, repeat) == bits_of(cut, candidate, repeat)


def test_the_end_is_one_line_where_not_even_the_least_fits() -> None:
    with pytest.raises(InputError, match=r"out of memory, with 2 lane\(s\) at a time"):
        race(1, Plan(packed=True, compiled=False, width=6, workers=2, threads=1), [])


def test_other_errors_stay_what_they_are() -> None:
    def broken(*flat: Any) -> Any:
        raise RuntimeError("something else")

    recipe = MLP_SGD.recipes()[0]
    key = str(recipe.structure())
    engine = Engine(
        Task(MODELS["mlp"], rows("mlp")),
        7,
        threads=1,
        plans={key: Plan(packed=True, compiled=False, width=2, workers=1, threads=1)},
    )
    cohort = Cohort(engine, [recipe], [0])
    object.__setattr__(group_of(cohort).prepared, "train", broken)
    with pytest.raises(RuntimeError, match="something else"):
        cohort.advance(0.1)
    assert isinstance(group_of(cohort).prepared.trial, Trial)


def test_what_was_written_down_in_wide_blocks_is_read_back_into_narrow_ones() -> None:
    recipes = MLP_SGD.recipes()
    key = str(recipes[0].structure())

    def begun(width: int) -> Cohort:
        how = Plan(packed=True, compiled=False, width=width, workers=1, threads=1)
        return Cohort(Engine(Task(MODELS["mlp"], rows("mlp")), 7, threads=1, plans={key: how}), recipes, [0, 1])

    wide, narrow = begun(8), begun(2)
    wide.advance(0.25)
    wide.evaluate()
    restore(narrow, *state_of(wide))
    assert {len(block.state[0]) for block in pack_of(narrow).blocks} == {2}
    for cohort in (wide, narrow):
        cohort.advance(0.5)
        cohort.evaluate()
    assert narrow.curves == wide.curves
    for candidate in range(len(recipes)):
        for repeat in (0, 1):
            assert bits_of(wide, candidate, repeat) == bits_of(narrow, candidate, repeat)
