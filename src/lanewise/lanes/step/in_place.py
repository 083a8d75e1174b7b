"""The plain loop: lane after lane, plain autograd, and optimizers that overwrite their tensors.

The same mathematics as `LaneStep.train`, which is a function of stacked tensors. Where packing does not pay, a function
costs more than it gains: it writes all of a lane's state anew at every step.
"""

import contextlib
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from lanewise.lanes.compile.torch_parts import tree_flatten
from lanewise.lanes.step.batch import micro_batches
from lanewise.lanes.step.channels_last import channels_last
from lanewise.lanes.step.numbers import AVERAGING
from lanewise.lanes.step.own_steps import STEPS, averaged
from lanewise.lanes.step.step import LaneStep
from lanewise.parts.clipping import clipping_factor
from lanewise.parts.optimizers.optimizer import Optimizer
from lanewise.parts.penalties import proximal_l1
from lanewise.parts.reals import as_reals
from lanewise.task.models import seeded

OptimizerGroup: TypeAlias = tuple[Optimizer, bool, list[str]]
"""(optimizer, whether penalties apply, names of parameters)"""


class PlainLoop:
    """The program of blocks of one lane that run without `torch.func`.

    Args:
        step: of the lanes. images_last: whether images and weights of convolutions lie channels-last.
    """

    def __init__(self, step: LaneStep, images_last: bool = False) -> None:
        self.step, self._images_last = step, images_last
        self._groups = optimizer_groups(step)

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        """One step, as any other program: (*state [1, ...], numbers [count, 1], *batch, *draws)."""
        size = self.step.state_size
        state, losses = self.stretch(flat[:size], [value.unsqueeze(0) for value in flat[size:]])
        return [*state, losses[0]]

    def stretch(
        self, state: Sequence[Tensor], given: Sequence[Tensor], seeds: Sequence[int] = ()
    ) -> tuple[list[Tensor], Tensor]:
        """(new state [1, ...], losses [steps, 1]) of as many steps as `given`, tensors [steps, ...], have slices.

        Args:
            state: left as it is. given: numbers [steps, count, 1], batches and draws. seeds: of every step, for models
                that draw from torch's generators themselves.
        """
        constants = [leaf[0] for leaf in given[1 : 1 + len(self.step.constants)]]
        lane = LaneInPlace(self.step, self._groups, [self._own(leaf) for leaf in state], constants)
        rows = given[0][:, :, 0].double().tolist()
        losses = []
        for number, (row, *shared) in enumerate(zip(rows, *given[1 + len(constants) :], strict=True)):
            if self._images_last:
                shared = [channels_last(leaf, leading=0) for leaf in shared]
            with seeded(seeds[number]) if seeds else contextlib.nullcontext():
                losses.append(lane.train(row, shared))
        return [leaf.unsqueeze(0) for leaf in lane.state()], torch.stack(losses).unsqueeze(1)

    def _own(self, leaf: Tensor) -> Tensor:
        laid = channels_last(leaf) if self._images_last else leaf
        return (laid.clone() if laid is leaf else laid).squeeze(0)


class LaneInPlace:
    """A lane at work: its tensors are those of a module, and every step overwrites them."""

    def __init__(
        self, step: LaneStep, groups: Sequence[OptimizerGroup], leaves: Sequence[Tensor], constants: Sequence[Tensor]
    ) -> None:
        self._step, self._groups = step, groups
        self._params, self._lane_buffers, self._memory, self._averages = step.unflattened(leaves)
        shared = dict(zip(step.constants, constants, strict=True))
        self._form = step.form_of(self._params | self._lane_buffers | shared)

    def state(self) -> list[Tensor]:
        """The flat state as it is now; the module is no longer the lane's."""
        buffers = self._form.buffers(self._lane_buffers)
        self._form.rest()
        return tree_flatten((self._params, buffers, self._memory, self._averages))[0]

    def train(self, row: Sequence[float], shared: Sequence[Tensor]) -> Tensor:
        """One step with the numbers `row` on `shared`, the batch and draws; returns its loss."""
        step, count = self._step, self._step.recipe.accumulate
        numbers = dict(zip(step.numbers, row, strict=True))
        batch, draws = shared[: step.layout.count], shared[step.layout.count :]
        losses = []
        for at, part in enumerate([batch] if count == 1 else micro_batches(batch, count)):
            own = draws if count == 1 else [draw[at] for draw in draws]
            drawn = step.drawn(own)
            masks = {name: drawn[name] for name in (*step.masks, *step.given["train"])}
            blend = step.blend(numbers, drawn)
            losses.append(self._form.loss(step.layout.batch(part), numbers, masks, blend, 1 / count))
        gradients = self._form.gradients()
        if step.traits.real:
            self._params = self._form.params(self._params)
        at_step = step.own.at(numbers)
        if step.own.freezes:
            gradients = {name: found for name, found in gradients.items() if not at_step.frozen(name)}
        with torch.no_grad():
            if "clip" in numbers and gradients:
                factor = clipping_factor(gradients.values(), numbers["clip"])
                for gradient in gradients.values():
                    gradient.mul_(factor)
            for optimizer, penalised, names in self._groups:
                used = [name for name in names if name in gradients]
                if used:
                    self._update(optimizer, penalised, used, gradients, at_step.of(names[0]))
            if self._averages:
                self._average(numbers)
        return losses[0] if count == 1 else torch.stack(losses).sum()

    def _update(
        self,
        optimizer: Optimizer,
        penalised: bool,
        names: Sequence[str],
        gradients: dict[str, Tensor],
        numbers: Mapping[str, float],
    ) -> None:
        recipe, rate = self._step.recipe, numbers[optimizer.rate]
        params = [as_reals(self._params[name]) for name in names]
        grads = [as_reals(gradients[name]) for name in names]
        l1, l2, decay = (numbers[name] if penalised else 0.0 for name in ("l1", "l2", "decay"))
        proximal = recipe.l1_step == "proximal"
        if l1 and not proximal:
            for param, grad in zip(params, grads, strict=True):
                grad.add_(param.sign(), alpha=l1)
        if decay:
            for param, grad in zip(params, grads, strict=True):
                # The penalty is that of the weights before they shrink.
                grad.add_(param, alpha=l2)
                param.mul_(1 - (rate * decay if recipe.decay_by == "rate" else decay))
            l2 = 0.0
        own = {name: numbers[name] for name in self._step.optimizer.number_names()}
        memory = [self._memory[name] for name in names]
        if STEPS in memory[0]:
            for at, state in enumerate(memory):
                done = int(state[STEPS])
                optimizer.update_in_place(params[at : at + 1], grads[at : at + 1], [state], own, done, l2)
                state[STEPS].add_(1)
        else:
            optimizer.update_in_place(params, grads, memory, own, int(numbers["t"]), l2)
        if l1 and proximal:
            for param in params:
                param.copy_(proximal_l1(param, rate * l1))

    def _average(self, numbers: dict[str, float]) -> None:
        step, decay = self._step, numbers[AVERAGING]
        now = averaged(
            step.evaluated_params(self._params, self._memory, numbers), self._form.buffers(self._lane_buffers)
        )
        for name, average in self._averages.items():
            average.lerp_(now[name], 1 - decay)


def optimizer_groups(step: LaneStep) -> list[OptimizerGroup]:
    """The parameters that train, in the groups that are updated together."""
    found: dict[Hashable, OptimizerGroup] = {}
    for name, param in step.reference.named_parameters():
        if param.requires_grad:
            optimizer, penalised = step.optimizers[name], name in step.penalised
            key = (optimizer.structure(), optimizer.rate, penalised, param.dtype, step.own.key(name))
            found.setdefault(key, (optimizer, penalised, []))[2].append(name)
    return list(found.values())
