"""How many lanes may be at work at a time, by the memory that a step of one lane takes."""

from collections.abc import Callable

from lanewise.errors import InputError
from lanewise.lanes.compile.peak_memory import peak_bytes
from lanewise.lanes.machine.memory import USABLE, available_bytes, resident_bytes
from lanewise.lanes.packs.plan import NARROWEST_PACK, widest_block
from lanewise.lanes.packs.trials import Trial
from lanewise.lanes.step.program import train_program

SPARE = 0.2
"""Memory that steps may take beside those of one plain run, as a share of what such a run takes with its process."""


def bytes_of_a_step(trial: Trial) -> int:
    """Bytes that a step of one lane makes, at most at a time; as a function where lanes can be packed."""
    examples, step = trial.examples(1), trial.step
    can_be_packed = not (step.traits.real or step.traits.apart or step.draws_itself)
    program = train_program(step, packed=False, functional=can_be_packed)
    return peak_bytes(lambda: program(*examples))


def spare_lanes(trial: Trial, at_work: int) -> int:
    """Lanes that may be at work beside the first before anybody knows whether it pays.

    A plain run has one at work. Large steps are not worth more: each of their operations takes long, so that a pack
    saves nothing, and threads can share an operation instead of lanes.
    """
    resident = resident_bytes()
    if trial.row.device.type != "cpu" or resident is None:
        return widest_block(trial.row.device)
    return int(SPARE * (resident + at_work) / max(1, at_work))


def fitting_width(trial: Trial, lanes: int, workers: int, at_work: int, note: Callable[[str], None]) -> int:
    """The most lanes a block may have for all of a cohort's `lanes` and `workers` blocks at work to fit into memory.

    A lane at rest takes its state; a lane in a step also takes `at_work` bytes.

    Raises:
        InputError: the lanes at rest alone take more than there is.
    """
    free, widest = available_bytes(trial.row.device), widest_block(trial.row.device)
    if free is None:
        return widest
    at_rest = lanes * sum(leaf.numel() * leaf.element_size() for leaf in trial.state)
    if at_rest > free:
        raise InputError(
            f"the states of {lanes} lanes take {at_rest / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: take "
            "fewer candidates, more generations or fewer repeats"
        )
    fitting = int((USABLE * free - at_rest) / max(1, at_work * workers))
    if fitting < min(widest, lanes):
        note(
            f"memory: {free / 2**30:.1f} GiB free, {at_rest / 2**30:.2f} for {lanes} lanes at rest and "
            f"{at_work / 2**20:.0f} MiB for each at work: at most {max(NARROWEST_PACK, fitting)} lanes to a block"
        )
    return max(NARROWEST_PACK, min(widest, fitting))
