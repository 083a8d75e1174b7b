"""A lane's step made into a program for a block of lanes: packed by `vmap` or looped, eager or compiled."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

from lanewise.lanes.compile.program import Program
from lanewise.lanes.compile.whole_vectors import in_whole_vectors
from lanewise.lanes.step.channels_last import channels_last
from lanewise.lanes.step.in_place import PlainLoop
from lanewise.lanes.step.step import LaneStep


def train_program(step: LaneStep, packed: bool, functional: bool = False, images_last: bool = False) -> Program:
    """The program that trains a block; looped programs take blocks of one lane.

    Args:
        functional: whether a looped program is a function of its tensors, to be compiled, or overwrites its own.
        images_last: whether a looped program holds images and weights of convolutions in channels-last format.
    """
    if packed:
        lanes = (0,) * step.state_size + (1,) + (None,) * (_shared(step, "train") + len(step.draws))
        return _by_lane(step.train, lanes, step.state_size)
    if functional:
        return lambda *flat: _one_lane(step.train, step.state_size, flat, images_last)
    return PlainLoop(step, images_last)


def evaluate_program(step: LaneStep, packed: bool, taken_apart: bool = False, images_last: bool = False) -> Program:
    """The eager program that scores rows: (*state, numbers, *shared) -> losses and metrics, each [lanes, rows].

    With `taken_apart` it is run as if to be differentiated, for which torch takes some layers (LSTM, GRU) apart into
    operations that can be packed.
    """
    if not packed:
        return lambda *flat: _one_lane(partial(step.evaluate, native=True), step.state_size, flat, images_last)

    size = step.state_size

    def differentiable(*flat: Tensor) -> Any:
        def scores(*floating: Tensor) -> Any:
            given = iter(floating)
            state = [next(given) if leaf.is_floating_point() else leaf for leaf in flat[:size]]
            return step.evaluate(*state, *flat[size:])

        return vjp(scores, *(leaf for leaf in flat[:size] if leaf.is_floating_point()))[0]

    lanes = (0,) * size + (1,) + (None,) * _shared(step, "eval")
    return _by_lane(differentiable if taken_apart else step.evaluate, lanes, size)


def statistics_program(step: LaneStep, packed: bool) -> Program:
    """The eager program that takes batch norm statistics: as `LaneStep.statistics`, of stacked lanes."""
    if not packed:
        return lambda *flat: _one_lane(partial(step.statistics, native=True), step.state_size, flat)
    size = step.state_size
    return _by_lane(step.statistics, (0,) * size + (1,) + (None,) * _shared(step, "observe"), size)


def lane_after_lane(program: Program, size: int) -> Program:
    """A looped program for blocks of any width: what packs are evaluated by where packing works in training only."""

    def each(*flat: Tensor) -> list[Tensor]:
        state, numbers, shared = flat[:size], flat[size], flat[size + 1 :]
        lanes = range(numbers.shape[1])
        ran = [program(*(leaf[at : at + 1] for leaf in state), numbers[:, at : at + 1], *shared) for at in lanes]
        return [torch.cat(found) for found in zip(*ran, strict=True)]

    return each


def _shared(step: LaneStep, mode: str) -> int:
    """How many tensors all lanes are given: constants, batch, what is computed once for all."""
    return len(step.constants) + step.layout.count + len(step.given[mode])


def _by_lane(function: Callable[..., Any], in_dims: tuple[int | None, ...], size: int) -> Program:
    # Randomness inside the model would be drawn from the global generator: refuse it, so that the loop takes over.
    return in_whole_vectors(vmap(function, in_dims=in_dims, randomness="error"), size)


def _one_lane(
    function: Callable[..., Any], size: int, flat: tuple[Tensor, ...], images_last: bool = False
) -> list[Tensor]:
    if images_last:
        # Set anew at every step, so that a lane's bits depend on its numbers alone, not on how they happen to lie.
        batch = (channels_last(leaf, leading=0) for leaf in flat[size + 1 :])
        flat = (*map(channels_last, flat[:size]), flat[size], *batch)
    state, numbers, *shared = [leaf.squeeze(0) for leaf in flat[:size]], flat[size].squeeze(1), *flat[size + 1 :]
    return [leaf.unsqueeze(0) for leaf in function(*state, numbers, *shared)]
