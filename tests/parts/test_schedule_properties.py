"""What holds for every schedule and every composition of them."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.part import Variable
from lanewise.parts.schedules import SCHEDULES, Cosine, Product, Schedule, Sequence, Shape
from lanewise.recipe.language import parse
from tests.parts.schedule_draws import EXAMPLES, STEPS_PER_EPOCH, TOTAL_STEPS, compositions, runs

ids = [str(example) for example in EXAMPLES]


def subclasses(kind: type) -> set[type]:
    return {kind} | {deeper for direct in kind.__subclasses__() for deeper in subclasses(direct)}


def apart(left: np.ndarray, right: np.ndarray) -> float:
    """The largest distance between two arrays of factors, in units in the last place of the larger."""
    # XLA has no numbers below the smallest normal one, 2e-308, and puts 0 in their place.
    left, right = (np.where(np.abs(values) < np.finfo(np.float64).tiny, 0.0, values) for values in (left, right))
    return float(np.max(np.abs(left - right) / np.spacing(np.maximum(np.abs(left), np.abs(right)))))


def test_the_table_of_schedules_is_complete() -> None:
    ours = {kind for kind in subclasses(Schedule) if kind.__module__.startswith("lanewise.")}
    assert set(SCHEDULES) == ours - {Schedule, Shape, Product, Sequence}
    assert len({kind.name for kind in SCHEDULES}) == len(SCHEDULES)
    assert {type(example) for example in EXAMPLES} == set(SCHEDULES)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_field_says_what_it_allows(kind: type[Schedule]) -> None:
    for item in dataclasses.fields(kind):
        assert {"allowed", "flag", "check"} & item.metadata.keys(), item.name


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_text_repr_and_pickle_lead_back(example: Schedule) -> None:
    names = {kind.__name__: kind for kind in SCHEDULES}
    assert parse(str(example)) == example
    assert eval(repr(example), names) == example
    assert pickle.loads(pickle.dumps(example)) == example


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_holds_its_end_value_past_the_end(example: Schedule) -> None:
    end = example(TOTAL_STEPS, TOTAL_STEPS, STEPS_PER_EPOCH)
    assert end == example(10 * TOTAL_STEPS, TOTAL_STEPS, STEPS_PER_EPOCH)
    past = example(np.array([TOTAL_STEPS + 0.5, 1e9]), TOTAL_STEPS, STEPS_PER_EPOCH)
    assert past.tolist() == [end, end]


@pytest.mark.parametrize("example", [one for one in EXAMPLES if isinstance(one, Shape)], ids=str)
@pytest.mark.parametrize("total_steps", [TOTAL_STEPS, 250, 333])
def test_warmup_in_front_is_the_warmup_field(example: Shape, total_steps: int) -> None:
    field = dataclasses.replace(example, warmup="20%")
    part = parse("warmup(20%)") >> dataclasses.replace(example, warmup=None)
    assert field.table(total_steps, STEPS_PER_EPOCH).tolist() == part.table(total_steps, STEPS_PER_EPOCH).tolist()


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_a_tensor_keeps_its_kind_shape_and_precision(example: Schedule) -> None:
    steps = torch.arange(12).reshape(3, 4)
    table = example.table(TOTAL_STEPS, STEPS_PER_EPOCH)[:12].reshape(3, 4)
    values = example(steps, TOTAL_STEPS, STEPS_PER_EPOCH)
    assert values.dtype == torch.float64
    np.testing.assert_allclose(values.numpy(), table, rtol=1e-15)
    single = example(steps.to(torch.float32), TOTAL_STEPS, STEPS_PER_EPOCH)
    assert single.dtype == torch.float32
    assert single.shape == (3, 4)
    np.testing.assert_allclose(single.numpy(), table, rtol=2e-5, atol=1e-7)
    numpy_single = example(np.arange(12, dtype=np.float32), TOTAL_STEPS, STEPS_PER_EPOCH)
    assert numpy_single.dtype == np.float32
    assert isinstance(example(3, TOTAL_STEPS, STEPS_PER_EPOCH), float)
    assert isinstance(example(np.int64(3), TOTAL_STEPS, STEPS_PER_EPOCH), (np.ndarray, np.float64))


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_works_under_vmap_with_a_step_per_lane(example: Schedule) -> None:
    steps = torch.tensor([0, 5, 40, 150, TOTAL_STEPS])
    packed = torch.vmap(lambda step: example(step, TOTAL_STEPS, STEPS_PER_EPOCH))(steps)
    torch.testing.assert_close(packed, example(steps, TOTAL_STEPS, STEPS_PER_EPOCH), rtol=1e-15, atol=0.0)


@given(compositions, runs)
def test_table_is_pointwise_evaluation_in_any_order(schedule: Schedule, run: tuple[int, int]) -> None:
    table = schedule.table(*run)
    assert table.dtype == np.float64
    assert table.shape == (run[0],)
    order = np.random.default_rng(0).permutation(run[0])[:25]
    assert [schedule(int(step), *run) for step in order] == table[order].tolist()


@given(compositions, runs, st.integers(0, 99))
def test_resuming_needs_no_state_but_the_step(schedule: Schedule, run: tuple[int, int], start: int) -> None:
    again = parse(str(schedule))
    rest = again(np.arange(start, run[0]), *run)
    assert rest.tolist() == schedule.table(*run)[start:].tolist()


@given(compositions, runs)
def test_finite_and_never_negative(schedule: Schedule, run: tuple[int, int]) -> None:
    values = schedule(np.arange(run[0] + 2), *run)
    assert np.isfinite(values).all()
    assert (values >= 0).all()


@given(compositions)
def test_text_leads_back(schedule: Schedule) -> None:
    assert parse(str(schedule)) == schedule


@given(compositions, runs)
def test_torch_agrees_with_numpy(schedule: Schedule, run: tuple[int, int]) -> None:
    values = schedule(torch.arange(run[0]), *run).numpy()
    assert apart(schedule.table(*run), values) <= 4


class Range(Variable):
    def __init__(self, *extremes: object) -> None:
        self.ends = extremes

    def extremes(self) -> tuple[object, ...]:
        return self.ends


@pytest.mark.parametrize(
    "space",
    [
        Cosine(arc=Range(1.0, 2.0)),
        Cosine(warmup=Range("1%", "5%")),
        0.1 * Cosine() * Range(0.1, 0.2),
        parse("warmup(5%)") >> Range(Cosine(), Cosine(to=0.1)),
    ],
)
def test_a_space_cannot_be_evaluated(space: Schedule) -> None:
    with pytest.raises(InputError, match="choose a value"):
        space.table(10)
    with pytest.raises(InputError, match="choose a value"):
        space(torch.arange(3), 10)
