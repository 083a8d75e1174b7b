"""The way lanes run: chosen by cost and benefit, written down, read back; what is no plan is refused."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lanewise.errors import InputError
from lanewise.lanes.compile.compiled import Uncompiled
from lanewise.lanes.compile.program_cache import keep
from lanewise.lanes.machine.workers import Workers
from lanewise.lanes.packs import choosing, compile_cost, trials
from lanewise.lanes.packs.choosing import ChosenPlan, choose_plan
from lanewise.lanes.packs.compile_cost import block_width
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.trials import Trial
from lanewise.lanes.step.numbers import stack_tables, tabulate_recipe
from lanewise.lanes.step.step import LaneStep
from lanewise.task.task import Task
from tests.lanes.cases import MLP_SGD, MODELS, engine_for, plan, rows, trained

PLAN = Plan(True, True, 16, 2, 1, "the fastest of the ways tried", {"eager loop over lanes": 524.25})
UNCOMPILED_OF = trials.uncompiled_of
HOURS = 10**11
"""Lane-steps that take hours, whatever the machine."""


def test_a_plan_survives_being_written() -> None:
    assert Plan.from_dict(json.loads(json.dumps(PLAN.to_dict())), "engine.json") == PLAN
    assert Plan.from_dict(plan("looped").to_dict(), "engine.json") == plan("looped")
    real = replace(plan("looped"), real=True)
    assert Plan.from_dict(json.loads(json.dumps(real.to_dict())), "engine.json") == real


def test_a_plan_of_a_later_version_is_read() -> None:
    assert Plan.from_dict({**PLAN.to_dict(), "colour": "green"}, "engine.json") == PLAN


@pytest.mark.parametrize(
    "wrong",
    [
        {"packed": 1},
        {"compiled": None},
        {"width": True},
        {"width": 16.0},
        {"width": 0},
        {"width": 1},
        {"workers": 0},
        {"workers": 10**19},
        {"threads": 1025},
        {"threads": -1},
        {"threads": "1"},
        {"packed": False, "width": 4},
        {"real": 1},
        {"real": True},
        {"packed": False, "compiled": False, "width": 1, "real": True},
        {"why": 3},
        {"why": None},
        {"timings": None},
        {"timings": [1.0]},
        {"timings": {"eager loop over lanes": "524"}},
        {"timings": {"eager loop over lanes": True}},
        {"timings": {"eager loop over lanes": -1.0}},
        {"timings": {"eager loop over lanes": float("nan")}},
        {"timings": {"eager loop over lanes": float("inf")}},
    ],
    ids=str,
)
def test_what_is_no_plan_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^engine\.json: "):
        Plan.from_dict({**PLAN.to_dict(), **wrong}, "engine.json")


@pytest.mark.parametrize("name", ["packed", "compiled", "width", "workers", "threads"])
def test_a_plan_with_a_gap_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} "):
        Plan.from_dict({key: value for key, value in PLAN.to_dict().items() if key != name}, "engine.json")


@pytest.mark.parametrize("wrong", [None, [], "packed", 3])
def test_a_plan_that_is_no_mapping_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"a plan must hold packed \(bool\)"):
        Plan.from_dict(wrong, "engine.json")


def test_a_plan_in_words() -> None:
    assert str(PLAN) == "compiled packs of 16 lanes, 2 worker(s) of 1 thread(s)"
    assert str(plan("packed")) == "eager packs of up to 4 lanes, 1 worker(s) of 1 thread(s)"
    assert str(plan("looped")) == "eager loop over lanes, 1 worker(s) of 1 thread(s)"
    real = replace(plan("looped"), real=True)
    assert str(real) == "eager loop over lanes, in a real module, 1 worker(s) of 1 thread(s)"


def test_blocks_of_a_program_have_one_width_and_no_pack_has_a_single_lane() -> None:
    assert PLAN.least_width == 16
    assert plan("packed", 32).least_width >= 2
    assert plan("looped").least_width == 1


def test_compiled_blocks_are_narrow_where_lanes_leave() -> None:
    assert block_width(32, 1, 1) == 16
    assert block_width(4, 1, 1) == 4
    assert block_width(16, 3, 2, ((1.0, 0.25), (0.5, 0.25), (0.25, 0.5))) < block_width(16, 3, 2)


@pytest.fixture(scope="module")
def trial() -> Trial:
    """What a choice is measured on: the small perceptron."""
    engine = Engine(Task(MODELS["mlp"], rows("mlp")), 7, threads=1)
    recipe = MLP_SGD.recipes()[0]
    model = engine.new_model(0)
    chunk = engine.feed(recipe, 0).chunk(0, 1)
    step = LaneStep(model, recipe, engine.task.objective, chunk.x[0], chunk.y[0])
    feed = engine.feed(recipe, 0, step)
    row = stack_tables([tabulate_recipe(recipe, 204, 6, 99)], torch.float32, torch.device("cpu"))[0, :, 0]
    return Trial(step, step.initial_state(model), feed.chunk(0, 2), row)


class AsItIs:
    """A program that counts as compiled, and runs as it is."""

    def __init__(self, program: Any) -> None:
        self.program = program

    def __call__(self, *flat: torch.Tensor) -> Any:
        return self.program(*flat)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> dict[str, Any]:
    """Costs of the ways, microseconds a lane-step, and what was measured and compiled.

    The clock is not asked, and Inductor neither: the program it would be given runs as it is. What is compiled, and
    what it is given, is real.
    """
    given: dict[str, Any] = {"loop": 100.0, "pack": 50.0, "compiled": 20.0, "widths": [], "fused": 0}
    # Wherever programs are kept otherwise: one of these tests puts a false library there.
    monkeypatch.setenv("LANEWISE_CACHE", str(tmp_path))

    def microseconds(self: Trial, program: Any, width: int, workers: Workers, beaten_by: float = 0.0) -> float:
        state, rows = self.inputs(width)
        program(*state, rows[0], self.chunk.x[0], self.chunk.y[0], *(draw[0] for draw in self.chunk.draws))
        given["widths"].append(width)
        way = "compiled" if isinstance(program, AsItIs) else "loop" if width == 1 else "pack"
        share = given.get("with workers", 1.0) if workers.count > 1 else 1.0
        return float(given[way] * share)

    def compiled(self: Uncompiled) -> AsItIs:
        given["fused"] += 1
        if "error" in given:
            raise given["error"]
        return AsItIs(self.program)

    monkeypatch.setattr(Trial, "microseconds", microseconds)
    monkeypatch.setattr(Uncompiled, "compiled", compiled)
    monkeypatch.setattr(choosing, "crowding", lambda: 1.0)
    return given


def choose(trial: Trial, lane_steps: int, lanes: int = 8, threads: int = 1) -> tuple[ChosenPlan, list[str]]:
    notes: list[str] = []
    return choose_plan(trial, lanes, 1, lane_steps, threads, notes.append), notes


Tried = dict[str, Any]


def test_a_short_run_is_not_compiled(trial: Trial, tried: Tried) -> None:
    choice, notes = choose(trial, 1000)
    assert (choice.plan.packed, choice.plan.compiled) == (True, False)
    assert "compiling would cost about" in choice.plan.why
    assert (tried["fused"], choice.compile_seconds, notes) == (0, 0.0, [])


def test_where_nothing_can_be_saved_it_is_not_asked_what_was_compiled_before(
    trial: Trial, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Plan] = []

    def uncompiled_of(way: Plan, trial: Trial) -> Uncompiled:
        asked.append(way)
        return UNCOMPILED_OF(way, trial)

    monkeypatch.setattr(compile_cost, "uncompiled_of", uncompiled_of)
    # At 50 us a lane-step 75% are saved: 10,000 lane-steps save 0.4 s, 20,000 save 0.8 s; loading a library costs 0.5.
    choice, notes = choose(trial, 10_000)
    assert choice.plan.why == "compiling would cost about 0.5 s at least and save 0.4 s"
    assert (asked, notes) == ([], [])
    choose(trial, 20_000)
    assert asked


def test_a_long_run_is_compiled(trial: Trial, tried: Tried) -> None:
    choice, notes = choose(trial, HOURS)
    assert (choice.plan.packed, choice.plan.compiled, choice.plan.width) == (True, True, 8)
    assert choice.compile_seconds > 0
    assert list(choice.plan.timings.values()) == [100.0, 50.0, 20.0]
    assert (tried["fused"], notes) == (1, [])


def test_compiling_pays_sooner_where_it_has_been_done_before(trial: Trial, tried: Tried, tmp_path: Path) -> None:
    # At 50 us a lane-step 75% are saved: 200,000 lane-steps save 7.5 s, less than 10 s and more than 0.5 s.
    choice, _ = choose(trial, 200_000)
    assert not choice.plan.compiled
    place = trials.uncompiled_of(Plan(True, True, 8, 1, 1), trial).place
    made = tmp_path / "made.so"
    made.write_bytes(b"a library")
    keep(made, place)
    choice, _ = choose(trial, 200_000)
    assert choice.plan.compiled


def test_ways_whose_trial_would_take_too_much_of_a_small_budget_are_not_tried(trial: Trial, tried: Tried) -> None:
    tried |= {"loop": 1e6, "pack": 0.9e6}

    def chosen(allowed: float, threads: int = 1) -> Plan:
        tried["widths"].clear()
        return choose_plan(trial, 8, 1, HOURS, threads, lambda line: None, seconds=1e5, allowed=allowed).plan

    # Steps of a second: a trial of a pack of 8 lanes takes 32 of them, and may take a third of what is allowed.
    plan = chosen(15.0, threads=2)
    assert (plan.packed, plan.compiled, plan.workers, plan.threads) == (False, False, 2, 1)
    assert plan.why == choosing.TOO_LONG
    assert tried["widths"] == [1, 1]
    assert chosen(100.0).packed
    assert (tried["widths"][:2], tried["fused"]) == ([1, 8], 0)
    chosen(1000.0)
    assert tried["fused"] == 1


def test_compiling_that_would_take_too_much_of_a_budget_is_left_out(trial: Trial, tried: Tried) -> None:
    choice = choose_plan(trial, 8, 1, HOURS, 1, lambda line: None, seconds=1e5, allowed=5.0)
    assert choice.plan.why == "compiling would take about 10 s, too much of the budget"
    assert (choice.plan.packed, choice.plan.compiled, tried["fused"]) == (True, False, 0)


@pytest.mark.parametrize(
    ("costs", "packed", "is_compiled"),
    [
        ({"loop": 40.0, "compiled": 60.0}, False, False),
        ({"loop": 60.0, "compiled": 60.0}, True, False),
        ({"loop": 40.0, "compiled": 30.0}, True, True),
        ({"loop": 30.0, "compiled": 20.0}, False, True),
    ],
    ids=["the loop is fastest", "the pack is", "a pack that is slower until it is compiled", "the loop, compiled"],
)
def test_the_cheapest_way_is_taken(
    trial: Trial, tried: Tried, costs: dict[str, float], packed: bool, is_compiled: bool
) -> None:
    tried |= costs
    choice, _ = choose(trial, HOURS)
    assert (choice.plan.packed, choice.plan.compiled) == (packed, is_compiled)
    assert choice.plan.width == 1 or packed
    assert choice.plan.why == "the fastest of the ways tried"


@pytest.mark.parametrize("seed", range(12))
def test_no_way_is_taken_that_its_own_timings_show_to_be_slower(
    trial: Trial, tried: Tried, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    source = random.Random(seed)
    costs: dict[Any, float] = {}

    def microseconds(self: Trial, program: Any, width: int, workers: Workers, beaten_by: float = 0.0) -> float:
        compiled = isinstance(program, AsItIs)
        return costs.setdefault((compiled, width > 1, workers.count, workers.threads), source.uniform(1.0, 100.0))

    monkeypatch.setattr(Trial, "microseconds", microseconds)
    choice, _ = choose(trial, HOURS, threads=2)
    assert choice.plan.timings[str(choice.plan)] == min(choice.plan.timings.values())
    assert len(choice.plan.timings) >= 4


def test_ways_that_are_near_each_other_are_timed_again_in_turn(
    trial: Trial, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def microseconds(self: Trial, program: Any, width: int, workers: Workers, beaten_by: float = 0.0) -> float:
        way = "loop" if width == 1 else "pack"
        calls.append(way)
        # The first timing of a loop is spoiled by others on the machine.
        return {"loop": 120.0 if calls.count("loop") == 1 else 80.0, "pack": 100.0}[way]

    monkeypatch.setattr(Trial, "microseconds", microseconds)
    choice, _ = choose(trial, 10_000)
    assert calls == ["loop", "pack", "pack", "loop", "pack", "loop"]
    assert not choice.plan.packed
    assert choice.plan.timings[str(choice.plan)] == 80.0


def test_without_a_compiler_nothing_is_compiled(trial: Trial, tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    choice, notes = choose(trial, HOURS)
    assert not choice.plan.compiled
    assert choice.plan.why == "the fastest way without a C++ compiler, of which none was found"
    assert (tried["fused"], notes) == (0, [])


def test_where_compiling_fails_lanes_run_all_the_same(trial: Trial, tried: Tried) -> None:
    tried["error"] = RuntimeError("no space\nleft on device")
    choice, notes = choose(trial, HOURS)
    assert (choice.plan.packed, choice.plan.compiled) == (True, False)
    assert choice.plan.why == "compiling failed"
    assert notes == ["not compiled: RuntimeError: no space left on device"]


def test_one_lane_is_measured_as_a_pack_of_no_less_than_two(trial: Trial, tried: Tried) -> None:
    choice, _ = choose(trial, 1, lanes=1)
    loop, pack = tried["widths"]
    assert loop == 1
    assert pack == choice.plan.least_width >= 2


@pytest.mark.parametrize(("share", "workers"), [(0.5, 2), (2.0, 1)])
def test_workers_are_taken_where_they_pay(trial: Trial, tried: Tried, share: float, workers: int) -> None:
    tried["with workers"] = share
    assert choose(trial, 1, threads=2)[0].plan.workers == workers


def test_a_model_that_fails_to_train_is_refused(trial: Trial, tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no gradient")

    monkeypatch.setattr(choosing, "train_program", lambda step, packed: fails)
    with pytest.raises(InputError, match="model fails in a training step: RuntimeError: no gradient"):
        choose(trial, 1)


def test_an_engine_measures_prints_and_records(tried: Tried) -> None:
    notes: list[str] = []
    recipe = MLP_SGD.recipes()[0]
    engine = Engine(Task(MODELS["mlp"], rows("mlp")), 7, threads=1, note=notes.append)
    trained(engine, [recipe, recipe], 1 / 204)
    ((key, chosen),) = engine.plans.items()
    assert key == str(recipe.structure())
    assert not chosen.compiled
    assert list(chosen.timings.values()) == [tried["loop"], tried["pack"]]
    assert notes == [f"engine: {chosen}, for sgd in batches of {recipe.batch_size} ({chosen.why})"]
    assert (engine.costs.compile, engine.costs.trials > 0) == (0.0, True)
    engine.close()


def test_a_plan_that_is_given_is_taken_without_measuring(trial: Trial, tried: Tried) -> None:
    recipe = MLP_SGD.recipes()[0]
    engine = engine_for(MODELS["mlp"], rows("mlp"), recipe, plan("looped"))
    trained(engine, [recipe], 1 / 204)
    assert engine.plans == {str(recipe.structure()): plan("looped")}
    assert tried["widths"] == []
    with pytest.raises(InputError, match=r"the engine plan given knows no lanes of this structure: .*proximal"):
        trained(engine, [replace(recipe, l1_step="proximal")])
    engine.close()


@pytest.mark.parametrize("threads", [0, -1])
def test_an_engine_needs_a_thread(threads: int) -> None:
    with pytest.raises(InputError, match=f"threads = {threads}: must be an integer in"):
        Engine(Task(MODELS["mlp"], rows("mlp")), 7, threads=threads)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match=r"device = 'toaster': not usable here; must be one of cpu"):
        Engine(Task(MODELS["mlp"], rows("mlp")), 7, device="toaster")
