"""Early stopping: a run ends once its validation loss has not improved for so long, and its best weights count."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StoppingState:
    """What early stopping remembers of one run between two measurements.

    Args:
        loss: the least validation loss so far; None before the first measurement.
        step: steps done when it was measured.
        stopped: whether the run is over.
        diverged: whether a loss was NaN or infinite: there is then no stopping, and no best weights to go back to.
    """

    loss: float | None = None
    step: int = 0
    stopped: bool = False
    diverged: bool = False

    @property
    def best(self) -> bool:
        """Whether there are best weights, which count in place of the last."""
        return self.loss is not None and not self.diverged


def early_stopping(state: StoppingState, step: int, loss: float, patience: int) -> StoppingState:
    """The state after the validation loss `loss`, measured when `step` steps were done.

        better    loss < the least so far, which it then is, and `step` its step
        stopped   not better, and step - step of the least >= patience

    Args:
        patience: steps without a better loss that are put up with, an integer of at least 1.

    >>> state = StoppingState()
    >>> for step, loss in ((10, 0.9), (20, 0.7), (30, 0.8), (40, 0.7)):
    ...     state = early_stopping(state, step, loss, patience=20)
    >>> state.stopped, state.loss, state.step
    (True, 0.7, 20)

    Source: Prechelt, "Early stopping - but when?", 1998.
    """
    if state.diverged or not math.isfinite(loss):
        return replace(state, diverged=True)
    if state.loss is None or loss < state.loss:
        return replace(state, loss=loss, step=step)
    return replace(state, stopped=state.stopped or step - state.step >= patience)
