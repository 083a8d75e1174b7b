"""The one step function, for one lane; `vmap` makes a pack of it, a loop over lanes is its cross-check.

The state of a lane is a flat list of tensors: parameters, buffers, optimizer state, averaged weights. A
step is a pure function of state, this step's numbers, batch and random draws, and returns the new state and the loss.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.data.arrays.nested import Inputs, mapped, row_count, take
from lanewise.lanes.attributes.plain_values import packed
from lanewise.lanes.compile.torch_parts import tree_flatten, tree_unflatten
from lanewise.lanes.model.adapt import adapted
from lanewise.lanes.model.batchwise import batchwise, refuse_one_row
from lanewise.lanes.model.forms import Forms
from lanewise.lanes.model.lane_layers import MIXUP_PARTNERS, MIXUP_WEIGHT
from lanewise.lanes.model.observing import observed
from lanewise.lanes.model.plain_autograd import KEPT, ORIGIN, set_layer_numbers
from lanewise.lanes.model.traits import ModelTraits
from lanewise.lanes.step.batch import BatchLayout, micro_batches
from lanewise.lanes.step.channels_last import IMAGE_AXES
from lanewise.lanes.step.numbers import AVERAGING, number_names
from lanewise.lanes.step.own_numbers import OwnNumbers
from lanewise.lanes.step.own_steps import STEPS, averaged, own_steps
from lanewise.lanes.step.updates import Updates, unless
from lanewise.parts.clipping import clipped
from lanewise.parts.norm import exponential_average
from lanewise.parts.optimizers.optimizer import Numbers, State
from lanewise.parts.reals import as_before, as_reals
from lanewise.parts.roles import penalised, roles
from lanewise.recipe.recipe import Recipe
from lanewise.task.objectives import Objective
from lanewise.task.outputs import run_model


class LaneStep(Forms):
    """The step of one lane, for all lanes whose recipes share the structure of `recipe`.

    Args:
        model: gives the architecture; its weights are not used.
        recipe: gives the structure; its numbers are not used.
        objective: what is trained for.
        x: inputs of one training batch, for the shapes of the random draws. y: its targets, or None.
        precision: of the forward pass, see `lanewise.lanes.model.precision`.
        new: gives the model of a repeat as the user's function makes it; copies of `model` by default.
        origin: the repeat of `model`.
        known_traits: what is known of models by what changes them; None if lanes are never to be trained.

    Attributes, beside those of `Forms`:
        numbers: names of the rows of a number table: the recipe's numbers, then `t`, the steps done before.
        draws: name -> shape of the draws that a step needs, for each of the batches it accumulates.
        least_lanes: lanes an eager pack must have for a lane to be the same bit for bit in any.
        holds_images: whether it may matter to speed how images lie in memory.
        own: what each parameter reads of the numbers.
        rates: the numbers that scale a step; they fall in a cool-down.
        batch_rows: rows of each of the batches that a step accumulates.
        held_of: by repeat, what its lanes have one copy of, by name.
        batchwise: the layers that normalise by the rows they are given in evaluation too.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        objective: Objective,
        x: Inputs,
        y: Tensor | None = None,
        precision: str = "float32",
        *,
        new: Callable[[int], nn.Module] | None = None,
        origin: int = 0,
        known_traits: dict[str, ModelTraits] | None = None,
    ) -> None:
        self.optimizer, self.numbers = recipe.optimizer, number_names(recipe)
        self.layout = BatchLayout(x, y)
        self.batch_rows = rows = row_count(x) // recipe.accumulate
        x, y = take(x, slice(rows)), take(y, slice(rows))
        super().__init__(model, recipe, objective, (x, y), precision, new, origin, known_traits)
        self.held_of: dict[int, Mapping[str, Tensor]] = {}
        self._structure: Any = None
        self._row, self._origin = take(x, slice(1)), origin
        reference = self.reference
        self.batchwise = batchwise(reference)
        if recipe.mixup is not None:
            self.draws |= {MIXUP_PARTNERS: (rows,), MIXUP_WEIGHT: (2,)}
        if recipe.accumulate > 1:
            self.draws = {name: (recipe.accumulate, *shape) for name, shape in self.draws.items()}
        self.roles = roles(reference)
        self.penalised = penalised(reference, recipe.penalised)
        self.optimizers = {
            name: self.optimizer.for_role(self.roles[name], param) for name, param in reference.named_parameters()
        }
        channels = [
            layer.out_channels for layer in reference.modules() if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        ]
        # oneDNN adds up otherwise where a pack's convolution has fewer than eight channels in all.
        self.least_lanes = max(4, -(-8 // min(channels))) if channels else 2
        self.holds_images = self._device.type == "cpu" and any(
            param.ndim == IMAGE_AXES for param in reference.parameters()
        )
        self.own = OwnNumbers(recipe, reference, self.penalised)
        self._updates = Updates(recipe, self.optimizers, self.penalised, self.own)
        self.rates = {optimizer.rate for optimizer in self.optimizers.values()} | self.own.rates

    def check_rows(self, **sets: int) -> None:
        """Raise `InputError` if one of the `sets`, of so many rows each, has a single row and a layer needs others."""
        for name, rows in sets.items():
            if rows == 1 and self.batchwise:
                real = self.traits.real
                tried = self.real_model(self._origin).eval() if real else self.new_bound("eval", "float32").model
                try:
                    with torch.no_grad():
                        run_model(tried, self._row)
                except Exception as error:
                    refuse_one_row(error, self.batchwise, f"{name} data")

    def initial_state(self, model: nn.Module, origin: int = 0) -> list[Tensor]:
        """The flat state of a lane that starts from the weights of `model`, of the repeat `origin`."""
        model = adapted(model, self.recipe, self.example)

        def copied(tensor: Tensor) -> Tensor:
            return tensor.detach().to(self._device).clone()

        own = {name: copied(param) for name, param in model.named_parameters() if name not in self.held}
        params = {name: param for name, param in own.items() if self.reference.get_parameter(name).requires_grad}
        frozen = {name: param for name, param in own.items() if name not in params}
        buffers = {name: copied(buffer) for name, buffer in model.named_buffers() if name not in self.held}
        optimizer_state = {name: self.optimizers[name].init(as_reals(param)) for name, param in params.items()}
        for name, memory in optimizer_state.items():
            if self._counts_steps or self.own.waits(name):
                memory[STEPS] = own_steps(params[name])
        if self.traits.real or self.held:
            self.held_of.setdefault(origin, self.held_tensors(model))
            buffers[ORIGIN] = torch.tensor(origin, device=self._device)
        if self.traits.stateful:
            buffers[KEPT] = packed({}).to(self._device)
        averages = mapped(torch.clone, averaged(params, buffers)) if self.averages else {}
        flat, self._structure = tree_flatten((params, buffers | frozen, optimizer_state, averages))
        return flat

    def held_tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """What all lanes that start from `model`, adapted to the recipe, have one copy of, by name."""
        every = dict([*model.named_parameters(), *model.named_buffers()])
        return {name: every[name].detach().to(self._device) for name in self.held}

    def train(self, *flat: Tensor) -> list[Tensor]:
        """One training step of one lane: (*state, numbers [count], *constants, *batch, *draws) -> [*state, loss]."""
        size = self._structure.num_leaves
        params, buffers, optimizer_state, averages = tree_unflatten(list(flat[:size]), self._structure)
        numbers = dict(zip(self.numbers, flat[size].unbind(0), strict=True))
        constants, batch, draws = self.parted(flat[size + 1 :])
        count = self.recipe.accumulate
        parts = [batch] if count == 1 else micro_batches(batch, count)
        drawn = [self.drawn(draws if count == 1 else [draw[number] for draw in draws]) for number in range(count)]
        gradients, loss, buffers = self._by_functions(params, buffers, numbers, parts, drawn, constants)
        at_step = self.own.at(numbers)
        if self.own.freezes:
            gradients = {name: unless(at_step.frozen(name), found, 0.0) for name, found in gradients.items()}
        if "clip" in numbers and gradients:
            gradients = clipped(gradients, numbers["clip"])
        stepped = {
            name: self._updates.updated(name, param, gradients[name], optimizer_state[name], at_step)
            if name in gradients
            else (param.clone(), optimizer_state[name])
            for name, param in params.items()
        }
        params = {name: param for name, (param, _) in stepped.items()}
        optimizer_state = {name: own for name, (_, own) in stepped.items()}
        if averages:
            now = averaged(self.evaluated_params(params, optimizer_state, numbers), buffers)
            decay = numbers[AVERAGING]
            averages = {name: exponential_average(average, now[name], decay) for name, average in averages.items()}
        return [*tree_flatten((params, buffers, optimizer_state, averages))[0], loss]

    def _by_functions(
        self,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        numbers: dict[str, Tensor],
        parts: Sequence[Sequence[Tensor]],
        drawn: Sequence[dict[str, Tensor]],
        constants: dict[str, Tensor],
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """(gradients, loss, buffers after it) of a step."""
        bound, count = self.model("train"), len(parts)
        total: dict[str, Tensor] = {}
        losses = []
        for part, own in zip(parts, drawn, strict=True):
            batch = self.layout.batch(part)
            gradients, loss, buffers = self.gradients(bound, params, buffers, numbers, batch, own, constants=constants)
            total |= {name: total[name] + found if name in total else found for name, found in gradients.items()}
            losses.append(loss)
        gradients = total if count == 1 else {name: found / count for name, found in total.items()}
        if not self.traits.varies:
            gradients = {name: found for name, found in gradients.items() if name not in self.traits.unused}
        return gradients, losses[0] if count == 1 else torch.stack(losses).mean(), buffers

    def evaluated_params(
        self, params: dict[str, Tensor], optimizer_state: dict[str, dict[str, Tensor]], numbers: Numbers
    ) -> dict[str, Tensor]:
        """The weights of a lane that are evaluated, by name: of schedule-free optimizers not those that train."""
        return {
            name: as_before(self.optimizers[name].evaluated(as_reals(param), optimizer_state[name], numbers), param)
            for name, param in params.items()
        }

    def parted(self, shared: Sequence[Tensor]) -> tuple[dict[str, Tensor], Sequence[Tensor], Sequence[Tensor]]:
        """(constants by name, batch, what follows it) of what a program is given beside state and numbers."""
        first = len(self.constants)
        after = first + self.layout.count
        return dict(zip(self.constants, shared[:first], strict=True)), shared[first:after], shared[after:]

    def drawn(self, draws: Sequence[Tensor]) -> dict[str, Tensor]:
        """The draws of a batch by name, and what shared layers are given."""
        return dict(zip((*self.draws, *self.given["train"]), draws, strict=True))

    def weights(self, state: Sequence[Tensor], row: Tensor) -> dict[str, Tensor]:
        """The weights and buffers to evaluate or to save, by the names of the model's `state_dict`."""
        found = self._tensors(state, row)
        held = dict(self.held_of[int(found[ORIGIN])] if self.held else {})
        return held | {name: tensor for name, tensor in found.items() if name not in (ORIGIN, KEPT)}

    def _tensors(self, state: Sequence[Tensor], row: Tensor) -> dict[str, Tensor]:
        """All that a lane is evaluated with."""
        params, buffers, optimizer_state, averages = tree_unflatten(list(state), self._structure)
        numbers = dict(zip(self.numbers, row.unbind(0), strict=True))
        found = {**self.evaluated_params(params, optimizer_state, numbers), **buffers, **averages}
        # Of numbers that layers read in evaluation, too, the state has the last; averaged weights have an average.
        return found | {name: value for name, value in self._given(row).items() if name in found}

    def _given(self, row: Tensor) -> dict[str, Tensor]:
        """The lane's numbers that layers hold, by the names of the buffers they are in."""
        numbers = dict(zip(self.numbers, row.unbind(0), strict=True))
        return {buffer: numbers[name] for buffer, name in self.lane_buffers.items()}

    def evaluate(self, *flat: Tensor, native: bool = False) -> tuple[Tensor, Tensor]:
        """(loss, metric) of every row by `Objective.scores`: (*state, numbers [count], *shared) -> each [rows]."""
        size = self._structure.num_leaves
        constants, leaves, given = self.parted(flat[size + 1 :])
        batch = self.layout.batch(leaves)
        tensors = self._tensors(flat[:size], flat[size])
        if self.traits.real:
            real = self._real(tensors)
            set_layer_numbers(real.model, dict(zip(self.numbers, flat[size].unbind(0), strict=True)))
            found = real.scores(batch)
            real.rest()
            return found
        tensors.pop(ORIGIN, None)
        tensors |= self._given(flat[size]) | constants | dict(zip(self.given["eval"], given, strict=True))
        self.model("eval").take_native(native)
        scores, _ = self.model("eval").run(tensors, "scores", *batch)
        losses, metrics = scores
        return losses, metrics

    def statistics(self, *flat: Tensor, native: bool = False) -> list[Tensor]:
        """What the weights of one lane, averaged or not, give: (*state, numbers [count], *shared) -> float64 tensors.

        For every layer of `normed` the mean [channels] of its inputs, the sum of their squared deviations [channels],
        and how many values there are for each channel (0-d).
        """
        size = self._structure.num_leaves
        constants, leaves, given = self.parted(flat[size + 1 :])
        batch = self.layout.batch(leaves)
        # Layers write into their buffers, and the state must stay as it is.
        tensors = {name: tensor.clone() for name, tensor in self._tensors(flat[:size], flat[size]).items()}
        if self.traits.real:
            real = self._real(tensors, observes=True)
            observed(real.model)
            real.one_pass(batch)
            found = observed(real.model)
            real.rest()
        else:
            bound = self.model("observe")
            bound.take_native(native)
            tensors.pop(ORIGIN, None)
            tensors |= constants | dict(zip(self.given["observe"], given, strict=True))
            bound.run(tensors, "one_pass", *batch)
            found = observed(bound.model)
        kept = [found[name] for name in self.normed]
        return [part for one in kept for part in (one.mean, one.squares, one.mean.new_tensor(one.number))]

    def with_statistics(self, state: Sequence[Tensor], found: dict[str, tuple[Tensor, Tensor]]) -> list[Tensor]:
        """A block's `state`, evaluated with the batch norm statistics `found`, by layer, of its lanes."""
        params, buffers, optimizer_state, averages = tree_unflatten(list(state), self._structure)
        for layer, statistics in found.items():
            for kind, value in zip(("running_mean", "running_var"), statistics, strict=True):
                name = f"{layer}.{kind}".lstrip(".")
                evaluated = averages if averages else buffers
                evaluated[name] = value.to(evaluated[name].dtype)
        return tree_flatten((params, buffers, optimizer_state, averages))[0]

    def zeros(self, state: Sequence[Tensor]) -> Tensor:
        """Share of the penalised weights that are exactly zero, for stacked lanes: float64 [lanes]."""
        params, _, _, averages = tree_unflatten(list(state), self._structure)
        params |= {name: average for name, average in averages.items() if name in params}
        chosen = [param.flatten(1) for name, param in params.items() if name in self.penalised]
        lanes = len(next(iter(params.values())))
        if not chosen:
            return torch.zeros(lanes, dtype=torch.float64)
        return torch.cat([(param == 0).double().cpu() for param in chosen], dim=1).mean(dim=1)

    @property
    def rate_columns(self) -> list[int]:
        """The columns of a number table that hold `rates`."""
        return [at for at, name in enumerate(self.numbers) if name in self.rates]

    @property
    def averages(self) -> bool:
        """Whether a lane keeps averaged weights, which are evaluated in place of the last."""
        return AVERAGING in self.numbers

    @property
    def idle_numbers(self) -> list[str]:
        """Numbers of the recipe that no layer of the model reads."""
        layers = {"dropout", "stochastic_depth", "norm_momentum", "lora_alpha"}
        return sorted(layers & set(self.numbers) - self._layer_numbers)

    @property
    def _counts_steps(self) -> bool:
        """Whether each parameter has a count of its own steps, as in torch.optim: those without a gradient are none."""
        return bool(self.traits.real) or self.traits.varies

    def unflattened(
        self, state: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, State], dict[str, Tensor]]:
        """(parameters, buffers, optimizer state, averages) of the flat `state`, by name."""
        params, buffers, optimizer_state, averages = tree_unflatten(list(state), self._structure)
        return params, buffers, optimizer_state, averages

    @property
    def state_size(self) -> int:
        """How many tensors the state of a lane has."""
        return int(self._structure.num_leaves)
