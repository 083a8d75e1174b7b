"""Programs that evaluate lanes: packed like their training, unless the model refuses that in evaluation mode."""

from collections.abc import Callable

import torch

from lanewise.lanes.compile.program import Program
from lanewise.lanes.packs.plan import Plan
from lanewise.lanes.packs.trials import Trial, brief
from lanewise.lanes.step.program import evaluate_program, lane_after_lane, statistics_program


def evaluation_of(trial: Trial, plan: Plan, note: Callable[[str], None]) -> Program:
    """The program that scores rows; `note` gets a line where it is not packed although training is."""
    step = trial.step
    if not plan.packed:
        return evaluate_program(step, packed=False, images_last=plan.channels_last)
    examples, why = [*trial.examples(2)[: step.state_size + 1], *trial.evaluated("eval")], ""
    for taken_apart in (False, True):
        packed = evaluate_program(step, True, taken_apart)
        try:
            with torch.no_grad():
                packed(*examples)
        except Exception as error:
            why = why or brief(error)
        else:
            return packed
    note(f"evaluated one lane after another, because packs cannot be evaluated: {why}")
    return lane_after_lane(evaluate_program(step, packed=False), step.state_size)


def statistics_of(trial: Trial, plan: Plan, note: Callable[[str], None]) -> Program:
    """The program that takes batch norm statistics of averaged weights; `note` as above."""
    step = trial.step
    if not plan.packed:
        return statistics_program(step, packed=False)
    packed = statistics_program(step, packed=True)
    if step.normed:
        try:
            with torch.no_grad():
                packed(*trial.examples(2)[: step.state_size + 1], *trial.evaluated("observe", step.batch_rows))
        except Exception as error:
            note(f"statistics of averaged weights are taken one lane after another: {brief(error)}")
            return lane_after_lane(statistics_program(step, packed=False), step.state_size)
    return packed
