"""A plan that was given or is on record, instead of one that is found by trials."""

import time
from collections.abc import Callable
from dataclasses import replace

from lanewise.errors import InputError, one_line
from lanewise.lanes.packs.choosing import ChosenPlan
from lanewise.lanes.packs.plan import NARROWEST_PACK, Plan, check_draws, fitted
from lanewise.lanes.packs.trials import Trial, brief, layer_that_fails, program_of
from lanewise.lanes.step.program import train_program


def chosen_as_given(given: Plan, trial: Trial, note: Callable[[str], None]) -> ChosenPlan:
    """The plan `given` with its program; or the nearest one that works here; `note` gets a line then.

    Raises:
        InputError: the plan fails on this machine, or the model fails in a training step.
    """
    plan = fitted(given, trial.step)
    if plan != given:
        note(f"the engine plan given ({given}) does not fit, so it is {plan}: {plan.why}")
    check_draws(plan, trial.step)
    begun, failed = time.perf_counter(), ""
    for way in (plan, *_simpler(plan)):
        try:
            program, compiling = program_of(way, trial)
            program(*trial.laid_for(way).examples(max(way.width, way.least_width)))
        except Exception as error:
            if not plan.packed:
                raise InputError(f"the engine plan given ({plan}) does not work here: {brief(error)}") from error
            if not way.packed:
                raise InputError(f"model fails in a training step: {one_line(error)}") from error
            where = "compiling failed" if way.compiled else _cannot_be_packed(trial)
            failed = f"{where}: {brief(error)}"
            continue
        if failed:
            way = replace(way, why=failed)
            note(f"the engine plan given ({given}) does not fit, so it is {way}: {failed}")
        return ChosenPlan(way, program, compiling, time.perf_counter() - begun - compiling)
    raise AssertionError("the loop ends with a way that works, or with an error")


def _simpler(plan: Plan) -> list[Plan]:
    """Ways to run lanes that take less than `plan` does, which packs them: eager packs, then a loop."""
    if not plan.packed:
        return []
    eager = [replace(plan, compiled=False, width=max(plan.width, NARROWEST_PACK))] if plan.compiled else []
    return [*eager, Plan(False, False, 1, plan.workers, plan.threads)]


def _cannot_be_packed(trial: Trial) -> str:
    return f"{layer_that_fails(trial, train_program(trial.step, packed=True)) or 'the model'} cannot be packed"
