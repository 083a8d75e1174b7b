"""The one step function, for one lane; `vmap` makes a pack of it, a loop over lanes is its cross-check.

The state of a lane is a flat list of tensors: parameters, buffers, the update rule's slots, averaged weights. A step is
a pure function of state, this step's numbers, batch and random draws, and returns the new state and the loss.
"""

import contextlib
import copy
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from lanewise.data.nested import Inputs, leaves, mapped, row_count, shapes, take
from lanewise.errors import InputError, one_line
from lanewise.lanes.adapt import adapted
from lanewise.lanes.batch import BatchLayout, micro_batches
from lanewise.lanes.batchwise import batchwise, refuse_one_row
from lanewise.lanes.channels_last import IMAGE_AXES
from lanewise.lanes.dynamo import leave_out_dynamo
from lanewise.lanes.listening import heard, listening
from lanewise.lanes.numbers import AVERAGING, number_names
from lanewise.lanes.precision import autocast, widen_outputs, widened
from lanewise.lanes.twins import (
    MIXUP_PARTNERS,
    MIXUP_WEIGHT,
    LaneBatchNorm,
    draw_shapes,
    draws_itself,
    lane_buffers,
    start_calls,
    with_twins,
)
from lanewise.objectives import Objective
from lanewise.outputs import run_model
from lanewise.parts.clipping import clipped
from lanewise.parts.mixup import mixing_weight
from lanewise.parts.norm import exponential_average
from lanewise.parts.penalties import decayed, penalty_gradient, proximal_l1
from lanewise.parts.reals import as_before, as_reals, has_mean, real_type
from lanewise.parts.roles import penalised, roles
from lanewise.recipe import Recipe

leave_out_dynamo()


class Bound(nn.Module):
    """A model with its objective, so that whatever the objective calls of the model finds the lane's tensors."""

    def __init__(self, model: nn.Module, objective: Objective, precision: str, device: torch.device) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self._precision, self._device = precision, device
        self._native = False
        if precision != "float32":
            widen_outputs(model)
            for layer in model.modules():
                if isinstance(layer, nn.LayerNorm):
                    layer.register_forward_pre_hook(self._for_layer_norm)
        self._norms = [layer for layer in model.modules() if isinstance(layer, LaneBatchNorm)]

    def take_native(self, native: bool) -> None:
        """Use torch's own batch norm, for one lane by itself and eagerly, or ours, which can be packed and fused."""
        self._native = native
        for norm in self._norms:
            norm.native = native

    def _for_layer_norm(self, layer: nn.Module, inputs: Any) -> Any:
        """What layer norm is given: packed, torch cannot differentiate it for inputs in less than its own precision."""
        return inputs if self._native else tree_map(widened, inputs)

    def forward(self, what: str, *arguments: Any) -> Any:
        """What the objective's method `what` makes of the model and `arguments`."""
        with autocast(self._precision, self._device):
            return tree_map(widened, getattr(self.objective, what)(self.model, *arguments))

    def run(self, tensors: dict[str, Tensor], what: str, *arguments: Any) -> tuple[Any, dict[str, Tensor]]:
        """(result, the tensors afterwards): a buffer that the model assigns anew is found there."""
        given = {f"model.{name}": tensor for name, tensor in tensors.items()}
        result = functional_call(self, given, (what, *arguments))
        return result, {name: given[f"model.{name}"] for name in tensors}


class LaneStep:
    """The step of one lane, for all lanes whose recipes share the structure of `recipe`.

    Args:
        model: gives the architecture; its weights are not used.
        recipe: gives the structure; its numbers are not used.
        objective: what is trained for.
        x: inputs of one training batch, for the shapes of the random draws. y: its targets, or None.
        precision: of the forward pass, see `lanewise.lanes.precision`.

    Attributes:
        numbers: names of the rows of a number table: the recipe's numbers, then `t`, the steps done before.
        example: two rows of inputs, on the CPU.
        draws: name -> shape of the draws that a step needs, for each of the batches it accumulates.
        least_lanes: lanes an eager pack must have for a lane to be the same bit for bit in any.
        holds_images: whether it may matter to speed how images lie in memory.
        rates: the numbers that scale a step; they fall in a cool-down.
        batch_rows: rows of each of the batches that a step accumulates.
        normed: the batch norm layers whose statistics can be taken anew.
        draws_itself: whether the model draws from torch's global generator beside; it is seeded before each step then.
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
    ) -> None:
        self.recipe, self.rule, self.objective, self._precision = recipe, recipe.rule, objective, precision
        self.numbers = number_names(recipe)
        self.layout = BatchLayout(x, y)
        self.batch_rows = rows = row_count(x) // recipe.accumulate
        x, y = take(x, slice(rows)), take(y, slice(rows))
        self.example = mapped(lambda leaf: leaf[:2].cpu(), x)
        self._row = take(x, slice(1))
        device = self._device = leaves(x)[0].device
        twin = with_twins(adapted(model, recipe, self.example), recipe).to(device)
        dtype = real_type(next(twin.parameters()).dtype)

        def one_pass(tried: nn.Module) -> None:
            objective.one_pass(tried, x, y)

        try:
            self.draws = draw_shapes(twin, one_pass, dtype, device)
            self.draws_itself = draws_itself(twin, one_pass, device)
            self._models = {"train": copy.deepcopy(twin).train(), "eval": twin.eval(), "listen": listening(twin)}
            self.normed = self._normed(one_pass)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"model fails on a training batch of shape {shapes(x)}: {one_line(error)}") from error
        self.batchwise = batchwise(twin)
        self._buffers = list(self.draws)
        if recipe.mixup is not None:
            self.draws |= {MIXUP_PARTNERS: (rows,), MIXUP_WEIGHT: (2,)}
        if recipe.accumulate > 1:
            self.draws = {name: (recipe.accumulate, *shape) for name, shape in self.draws.items()}
        self.lane_buffers = lane_buffers(twin)
        self.roles = roles(twin)
        self.penalised = penalised(twin, recipe.penalised)
        self.rules = {name: self.rule.for_role(self.roles[name], param) for name, param in twin.named_parameters()}
        channels = [
            layer.out_channels for layer in twin.modules() if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        ]
        # oneDNN adds up otherwise where a pack's convolution has fewer than eight channels in all.
        self.least_lanes = max(4, -(-8 // min(channels))) if channels else 2
        self.holds_images = device.type == "cpu" and any(param.ndim == IMAGE_AXES for param in twin.parameters())
        self.rates = {rule.rate for rule in self.rules.values()}
        self._of_thread = threading.local()
        self._structure: Any = None

    def _normed(self, one_pass: Any) -> tuple[str, ...]:
        tried = copy.deepcopy(self._models["listen"])
        with torch.no_grad():
            one_pass(tried)
        return tuple(heard(tried))

    def check_rows(self, **sets: int) -> None:
        """Raise `InputError` if one of the `sets`, of so many rows each, has a single row and a layer needs others."""
        for name, rows in sets.items():
            if rows == 1 and self.batchwise:
                try:
                    with torch.no_grad():
                        run_model(copy.deepcopy(self._models["eval"]), self._row)
                except Exception as error:
                    refuse_one_row(error, self.batchwise, f"{name} data")

    def model(self, mode: str) -> Bound:
        """The twin model in mode `train`, `eval` or `listen`, one a thread: `functional_call` swaps its tensors."""
        if not hasattr(self._of_thread, mode):
            setattr(
                self._of_thread,
                mode,
                Bound(copy.deepcopy(self._models[mode]), self.objective, self._precision, self._device),
            )
        found: Bound = getattr(self._of_thread, mode)
        return found

    @contextlib.contextmanager
    def watched(self, mode: str) -> Iterator[list[str]]:
        """The layers that the model is in, outermost first: what is left of them after an error did not come back."""
        inside: list[str] = []
        model = self.model(mode).model
        hooks: list[Any] = []
        for name, layer in model.named_modules():
            told = f"{type(layer).__name__} {name}".strip()
            hooks.append(layer.register_forward_pre_hook(lambda *_, told=told: inside.append(told)))
            hooks.append(layer.register_forward_hook(lambda *_: inside.pop() and None))
        try:
            yield inside
        finally:
            for hook in hooks:
                hook.remove()

    def initial_state(self, model: nn.Module) -> list[Tensor]:
        """The flat state of a lane that starts from the weights of `model`, before its first step."""
        model = adapted(model, self.recipe, self.example)

        def copied(tensor: Tensor) -> Tensor:
            return tensor.detach().to(self._device).clone()

        params = {name: copied(param) for name, param in model.named_parameters() if param.requires_grad}
        frozen = {name: copied(param) for name, param in model.named_parameters() if not param.requires_grad}
        buffers = {name: copied(buffer) for name, buffer in model.named_buffers()}
        slots = {name: self.rules[name].init(as_reals(param)) for name, param in params.items()}
        averages = mapped(torch.clone, averaged(params, buffers)) if self.averages else {}
        flat, self._structure = tree_flatten((params, buffers | frozen, slots, averages))
        return flat

    def train(self, *flat: Tensor, native: bool = False) -> list[Tensor]:
        """One training step of one lane: (*state, numbers [count], *batch, *draws) -> [*state, loss]."""
        self.model("train").take_native(native)
        size, count = self._structure.num_leaves, self.recipe.accumulate
        params, buffers, slots, averages = tree_unflatten(list(flat[:size]), self._structure)
        numbers = dict(zip(self.numbers, flat[size].unbind(0), strict=True))
        batch, draws = flat[size + 1 : size + 1 + self.layout.count], flat[size + 1 + self.layout.count :]
        parts = [batch] if count == 1 else micro_batches(batch, count)
        total: dict[str, Tensor] = {}
        losses = []
        for number, part in enumerate(parts):
            drawn = dict(zip(self.draws, draws if count == 1 else [draw[number] for draw in draws], strict=True))
            gradients, loss, buffers = self._gradients(params, buffers, numbers, self.layout.batch(part), drawn)
            total = {name: total[name] + found for name, found in gradients.items()} if total else gradients
            losses.append(loss)
        gradients = total if count == 1 else {name: found / count for name, found in total.items()}
        if "clip" in numbers:
            gradients = clipped(gradients, numbers["clip"])
        stepped = {name: self._updated(name, params[name], gradients[name], slots[name], numbers) for name in params}
        params = {name: param for name, (param, _) in stepped.items()}
        slots = {name: own for name, (_, own) in stepped.items()}
        if averages:
            now = averaged(self._evaluated(params, slots, numbers), buffers)
            decay = numbers[AVERAGING]
            averages = {name: exponential_average(average, now[name], decay) for name, average in averages.items()}
        loss = losses[0] if count == 1 else torch.stack(losses).mean()
        return [*tree_flatten((params, buffers, slots, averages))[0], loss]

    def _gradients(
        self,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        numbers: dict[str, Tensor],
        batch: tuple[Inputs, Tensor | None],
        drawn: dict[str, Tensor],
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """(gradients, loss, new buffers) of one batch."""
        given = {name: drawn[name] for name in self._buffers}
        given |= {buffer: numbers[name] for buffer, name in self.lane_buffers.items()}
        blend = None
        if "mixup" in numbers:
            weight = mixing_weight(numbers["mixup"], *drawn[MIXUP_WEIGHT].unbind())
            blend = drawn[MIXUP_PARTNERS].argsort(), weight
        bound = self.model("train")

        def loss_of(params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            fresh = {name: buffer.clone() for name, buffer in buffers.items()}
            start_calls(bound)
            tensors = {**params, **fresh, **given}
            loss, after = bound.run(tensors, "training_loss", *batch, numbers["label_smoothing"], blend)
            return loss, {name: after[name] for name in fresh}

        gradients, (loss, buffers) = grad_and_value(loss_of, has_aux=True)(params)
        return gradients, loss, buffers

    def _updated(
        self, name: str, param: Tensor, gradient: Tensor, slots: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if param.is_complex():
            reals, slots = self._updated(name, as_reals(param), as_reals(gradient), slots, numbers)
            return as_before(reals, param), slots
        if name in self.penalised:
            l1 = 0.0 if self.recipe.l1_step == "proximal" else numbers["l1"]
            gradient = gradient + penalty_gradient(param, numbers["l2"], l1)
            param = decayed(param, numbers["decay"], numbers[self.rules[name].rate], self.recipe.decay_by)
        param, after = self.rules[name].update(param, gradient, slots, numbers, numbers["t"])
        # The state is flat: slots keep the order that they began with, whichever a rule returns them in.
        slots = {slot: after[slot] for slot in slots}
        if name in self.penalised and self.recipe.l1_step == "proximal":
            param = proximal_l1(param, numbers[self.rules[name].rate] * numbers["l1"])
        return param, slots

    def _evaluated(
        self, params: dict[str, Tensor], slots: dict[str, dict[str, Tensor]], numbers: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return {
            name: as_before(self.rules[name].evaluated(as_reals(param), slots[name], numbers), param)
            for name, param in params.items()
        }

    def weights(self, state: Sequence[Tensor], row: Tensor) -> dict[str, Tensor]:
        """The weights and buffers to evaluate or to save, by the names of the model's `state_dict`."""
        params, buffers, slots, averages = tree_unflatten(list(state), self._structure)
        numbers = dict(zip(self.numbers, row.unbind(0), strict=True))
        return {**self._evaluated(params, slots, numbers), **buffers, **averages}

    def _given(self, row: Tensor) -> dict[str, Tensor]:
        """The lane's numbers that layers hold, by the names of the buffers they are in."""
        numbers = dict(zip(self.numbers, row.unbind(0), strict=True))
        return {buffer: numbers[name] for buffer, name in self.lane_buffers.items()}

    def evaluate(self, *flat: Tensor, native: bool = False) -> tuple[Tensor, Tensor]:
        """(loss, metric) of every row by `Objective.scores`: (*state, numbers [count], *batch) -> each [rows]."""
        size = self._structure.num_leaves
        self.model("eval").take_native(native)
        batch = self.layout.batch(flat[size + 1 :])
        tensors = self.weights(flat[:size], flat[size]) | self._given(flat[size])
        scores, _ = self.model("eval").run(tensors, "scores", *batch)
        losses, metrics = scores
        return losses, metrics

    def statistics(self, *flat: Tensor, native: bool = False) -> list[Tensor]:
        """What the weights of one lane, averaged or not, give: (*state, numbers [count], *batch) -> float64 tensors.

        For every layer of `normed` the mean [channels] of its inputs, the sum of their squared deviations [channels],
        and how many values there are for each channel (0-d).
        """
        size = self._structure.num_leaves
        bound = self.model("listen")
        bound.take_native(native)
        # Layers write into their buffers, and the state must stay as it is.
        tensors = {name: tensor.clone() for name, tensor in self.weights(flat[:size], flat[size]).items()}
        bound.run(tensors, "one_pass", *self.layout.batch(flat[size + 1 :]))
        found = heard(bound.model)
        kept = [found[name] for name in self.normed]
        return [part for one in kept for part in (one.mean, one.squares, one.mean.new_tensor(one.number))]

    def with_statistics(self, state: Sequence[Tensor], found: dict[str, tuple[Tensor, Tensor]]) -> list[Tensor]:
        """A block's `state`, evaluated with the batch norm statistics `found`, by layer, of its lanes."""
        params, buffers, slots, averages = tree_unflatten(list(state), self._structure)
        for layer, statistics in found.items():
            for kind, value in zip(("running_mean", "running_var"), statistics, strict=True):
                name = f"{layer}.{kind}".lstrip(".")
                evaluated = averages if averages else buffers
                evaluated[name] = value.to(evaluated[name].dtype)
        return tree_flatten((params, buffers, slots, averages))[0]

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
        layers = {"dropout", "stochastic_depth", "norm_momentum"}
        return sorted(layers & set(self.numbers) - set(self.lane_buffers.values()))

    @property
    def state_size(self) -> int:
        """How many tensors the state of a lane has."""
        return int(self._structure.num_leaves)


def averaged(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """What an average is kept of: all weights, and the running statistics and other floating-point buffers."""
    return weights | {name: buffer for name, buffer in buffers.items() if has_mean(buffer)}
