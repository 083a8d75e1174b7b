"""Re-estimating batch norm's running statistics: those of given batches, for the weights as they are now.

Running averages trail behind the weights, and averaged weights never had any of their own.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import AnyBatchNorm, check_module, own_buffers
from lanewise.errors import InputError
from lanewise.parts.norm.freeze import Frozen
from lanewise.parts.norm.ghost import GhostBatchNorm
from lanewise.parts.norm.statistics import Statistics, merged, of_channels

Forward = Callable[[nn.Module, Any], Any]


@dataclass(frozen=True)
class Reestimated:
    """What `reestimate` did.

    `layers` names the batch norms it set and `unused` those that no batch reached; `batches` counts the batches used,
    and `skipped` holds the places (from 0) of those left out because a statistic was not finite.
    """

    layers: tuple[str, ...]
    unused: tuple[str, ...]
    batches: int
    skipped: tuple[int, ...]


def reestimate(model: nn.Module, batches: Iterable[Any], forward: Forward | None = None) -> Reestimated:
    """Set the running statistics of every batch norm, in place, to those of all its inputs in `batches`.

    Each batch passes through the model with batch norm in training mode and all else (dropout) in evaluation mode.
    Means and variances are pooled in float64, weighted by the number of values, with the variance of the batches' means
    included: for a batch norm whose input does not depend on another, the result is mean and unbiased variance of the
    whole data set, however it is cut into batches. The order of the batches does not matter (beyond float64 rounding).

    Where the first batch passed every batch norm once, later ones end at the last of these: what comes after changes
    nothing. With a `forward` of your own they run to the end.

    A batch that leaves one value per channel counts for the first batch norm that meets it so, and goes no further,
    because it cannot be normalised. A batch that makes any statistic NaN or infinite is left out everywhere. Frozen
    layers, other buffers (`num_batches_tracked` too), parameters, modes and gradients stay as they were; whatever
    fails, the model is left unchanged.

    Args:
        model: any module; compiled ones run eagerly.
        batches: inputs, or tuples or lists whose first item is the input, such as a DataLoader gives.
        forward: how to run the model on one batch, where `model(input)` is not it, e.g. to move it to a device.

    Returns:
        What was done, with the layers' names.

    Raises:
        InputError: no batch, no batch with finite statistics, or a layer with fewer than two values per channel in all.

    Source: Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021 (PreciseBN).

    >>> model = nn.Sequential(nn.BatchNorm1d(1))
    >>> done = reestimate(model, [torch.tensor([[0.0], [1.0]]), torch.tensor([[5.0]])])
    >>> model[0].running_mean.item(), model[0].running_var.item(), done.batches
    (2.0, 7.0, 2)
    """
    check_module("reestimate", model)
    norms = {
        name: module
        for name, module in in_training(model)
        if isinstance(module, AnyBatchNorm) and not isinstance(module, Frozen) and module.running_mean is not None
    }
    if not norms:
        return Reestimated((), (), 0, ())
    totals: dict[str, Statistics] = {}
    used, skipped = 0, []
    goal = Goal()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), observing(model, norms, goal) as observed:
        for place, batch in enumerate(batches):
            observed.clear()
            with suppress(OneValueError, AllObservedError):
                (forward or run)(model, batch)
            if not all(bool((seen.mean + seen.squares).isfinite().all()) for _, seen in observed):
                skipped.append(place)
                continue
            used += 1
            if forward is None and sorted(name for name, _ in observed) == sorted(norms):
                # Each once: what comes after the last of them need not be computed for the batches to come.
                goal.last, goal.count = observed[-1][0], len(norms)
            for name, seen in observed:
                totals[name] = merged(totals[name], seen) if name in totals else seen
    if not totals:
        found = f"{len(skipped)} batches with statistics that are not finite" if skipped else "no batch"
        raise InputError(f"reestimate: batches = {found}: must hold at least one batch that reaches a batch norm")
    for name, total in totals.items():
        if total.number < 2:
            raise InputError(
                f"reestimate: batch norm {name} was given {total.number} value per channel: must be at least 2"
            )
    for name, total in totals.items():
        norms[name].running_mean.copy_(total.mean)  # type: ignore[union-attr]
        norms[name].running_var.copy_(total.variance)  # type: ignore[union-attr]
    return Reestimated(tuple(totals), tuple(name for name in norms if name not in totals), used, tuple(skipped))


def in_training(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers, by name, that `model.train()` brings into training mode; all modes are as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    found = [(name, module) for name, module in model.named_modules() if module.training]
    for module, mode in modes:
        module.training = mode
    return found


class OneValueError(Exception):
    """A batch cannot pass a batch norm, because it has a single value per channel there."""


class AllObservedError(Exception):
    """All batch norms have seen a batch, so the rest of its pass is not needed."""


@dataclass
class Goal:
    """The layer that is observed last, and how many are by then; empty while that is not known."""

    last: str = ""
    count: int = 0


def run(model: nn.Module, batch: Any) -> Any:
    """`model` on the input in `batch`."""
    given = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(given, Tensor):
        raise InputError(
            f"reestimate: a batch of type {type(batch).__name__}: must be a tensor or a tuple or list that starts with "
            "one, or say with forward= how to run the model on it"
        )
    return model(given)


@contextmanager
def observing(model: nn.Module, norms: dict[str, AnyBatchNorm], goal: Goal) -> Iterator[list[tuple[str, Statistics]]]:
    """While open, `norms` normalise with batch statistics and append these to the list; after it all is as before.

    A pass that has reached its `goal` ends in `AllObservedError`.

    With momentum 1 a layer's running statistics are those of the batch, so nothing is computed twice.
    """
    observed: list[tuple[str, Statistics]] = []
    modes = [(module, module.training) for module in model.modules()]
    momenta = [(norm, norm.momentum) for norm in norms.values()]
    buffers = [
        (own_buffers(module), name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in own_buffers(module).items()
        if buffer is not None
    ]
    hooks = []
    try:
        model.eval()
        for name, norm in norms.items():
            norm.train()
            norm.momentum = 1.0
            hooks += [
                norm.register_forward_pre_hook(before(name, observed)),
                norm.register_forward_hook(after(name, observed, goal)),
            ]
        yield observed
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
        for norm, momentum in momenta:
            norm.momentum = momentum
        for holder, name, buffer, saved in buffers:
            buffer.copy_(saved)
            holder[name] = buffer


def before(name: str, observed: list[tuple[str, Statistics]]) -> Callable[[AnyBatchNorm, tuple[Tensor]], None]:
    """A hook that clears the running statistics, and ends the pass where there is one value per channel."""

    def hook(norm: AnyBatchNorm, given: tuple[Tensor]) -> None:
        norm.reset_running_stats()
        if given[0].numel() == norm.num_features:
            observed.append((name, of_channels(given[0].reshape(1, -1))))
            raise OneValueError

    return hook


def after(
    name: str, observed: list[tuple[str, Statistics]], goal: Goal
) -> Callable[[AnyBatchNorm, tuple[Tensor], Tensor], None]:
    """A hook that takes down the statistics of the batch that the layer was given."""

    def hook(norm: AnyBatchNorm, given: tuple[Tensor], _: Tensor) -> None:
        take_down(norm, given)
        if name == goal.last and len(observed) == goal.count:
            raise AllObservedError

    def take_down(norm: AnyBatchNorm, given: tuple[Tensor]) -> None:
        if isinstance(norm, GhostBatchNorm):  # its running statistics are those of its last virtual batch
            observed.append((name, of_channels(given[0])))
            return
        assert norm.running_mean is not None
        assert norm.running_var is not None
        number = given[0].numel() // norm.num_features
        mean = norm.running_mean.to(torch.float64, copy=True)  # the next batch writes into the layer's own
        observed.append((name, Statistics(number, mean, norm.running_var.double() * (number - 1))))

    return hook
