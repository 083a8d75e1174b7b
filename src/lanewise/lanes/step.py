"""The one step function, for one lane; `vmap` makes a pack of it, a loop over lanes is its cross-check.

The state of a lane is a flat list of tensors (parameters, buffers, the update rule's slots). A step is a pure function
of state, this step's numbers, batch and random draws, and returns the new state and the loss.
"""

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.utils._pytree import tree_flatten, tree_unflatten

from lanewise.errors import InputError, one_line
from lanewise.lanes.adapt import adapted
from lanewise.lanes.twins import (
    MIXUP_PARTNERS,
    MIXUP_WEIGHT,
    draw_shapes,
    draws_itself,
    lane_buffers,
    start_calls,
    with_twins,
)
from lanewise.parts.mixup import mix, mixed_loss, mixing_weight
from lanewise.parts.penalties import decayed, penalty_gradient, proximal_l1
from lanewise.parts.roles import penalised, roles
from lanewise.recipe import Recipe


class LaneStep:
    """The step of one lane, for all lanes whose recipes share the structure of `recipe`.

    Args:
        model: gives the architecture; its weights are not used.
        recipe: gives the structure; its numbers are not used.
        objective: `loss` and `row_scores`, see `lanewise.task.Classification`.
        x: one training batch [rows, ...], for the shapes of the random draws.

    Attributes:
        numbers: names of the rows of a number table: the recipe's numbers, then `t`, the steps done before.
        draws: buffer name -> shape of the draws that a step needs.
        least_lanes: lanes an eager pack must have for a lane to be the same bit for bit in any.
        rates: the numbers that scale a step; they fall in a cool-down.
        draws_itself: whether the model draws from torch's global generator beside; it is seeded before each step then.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, objective: Any, x: Tensor) -> None:
        self.recipe, self.rule, self.objective = recipe, recipe.rule, objective
        self.numbers = (*recipe.numbers(), "t")
        self._example = x[:2].cpu()
        twin = with_twins(adapted(model, recipe, self._example), recipe).to(x.device)
        try:
            self.draws = draw_shapes(twin, x)
            self.draws_itself = draws_itself(twin, x)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"model fails on a training batch of shape {list(x.shape)}: {one_line(error)}") from error
        if recipe.mixup is not None:
            self.draws |= {MIXUP_PARTNERS: (len(x),), MIXUP_WEIGHT: (2,)}
        self.lane_buffers = lane_buffers(twin)
        self.roles = roles(twin)
        self.penalised = penalised(twin, recipe.penalised)
        self.rules = {name: self.rule.for_role(self.roles[name], param) for name, param in twin.named_parameters()}
        channels = [
            layer.out_channels for layer in twin.modules() if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        ]
        # oneDNN adds up otherwise where a pack's convolution has fewer than eight channels in all.
        self.least_lanes = max(4, -(-8 // min(channels))) if channels else 2
        self.rates = {rule.rate for rule in self.rules.values()}
        self._models = {"train": copy.deepcopy(twin).train(), "eval": twin.eval()}
        self._of_thread = threading.local()
        self._structure: Any = None

    def model(self, mode: str) -> nn.Module:
        """The twin model in mode `train` or `eval`, one a thread: `functional_call` swaps its tensors."""
        if not hasattr(self._of_thread, mode):
            setattr(self._of_thread, mode, copy.deepcopy(self._models[mode]))
        found: nn.Module = getattr(self._of_thread, mode)
        return found

    def initial_state(self, model: nn.Module) -> list[Tensor]:
        """The flat state of a lane that starts from the weights of `model`, before its first step."""
        model = adapted(model, self.recipe, self._example)
        device = next(self._models["train"].parameters()).device
        params = {n: p.detach().to(device).clone() for n, p in model.named_parameters() if p.requires_grad}
        frozen = {n: p.detach().to(device).clone() for n, p in model.named_parameters() if not p.requires_grad}
        buffers = {n: b.detach().to(device).clone() for n, b in model.named_buffers()}
        slots = {name: self.rules[name].init(param) for name, param in params.items()}
        flat, self._structure = tree_flatten((params, buffers | frozen, slots))
        return flat

    def train(self, *flat: Tensor) -> list[Tensor]:
        """One training step of one lane: (*state, numbers [count], x, y, *draws) -> [*state, loss]."""
        size = self._structure.num_leaves
        params, buffers, slots = tree_unflatten(list(flat[:size]), self._structure)
        row, x, y, *draws = flat[size:]
        numbers = dict(zip(self.numbers, row.unbind(0), strict=True))
        drawn = dict(zip(self.draws, draws, strict=True))
        criterion = self._criterion(numbers, drawn)
        inputs = {name: draw for name, draw in drawn.items() if name not in (MIXUP_PARTNERS, MIXUP_WEIGHT)}
        inputs |= {buffer: numbers[name] for buffer, name in self.lane_buffers.items()}
        model = self.model("train")

        def loss_of(params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            fresh = {name: buffer.clone() for name, buffer in buffers.items()}
            start_calls(model)
            blended, loss = criterion(x, y)
            given = {**params, **fresh, **inputs}
            outputs = functional_call(model, given, (blended,))
            # A buffer that the model assigns anew, instead of writing into it, is found in `given`.
            return loss(outputs), {name: given[name] for name in fresh}

        gradients, (loss, buffers) = grad_and_value(loss_of, has_aux=True)(params)
        stepped = {name: self._updated(name, params[name], gradients[name], slots[name], numbers) for name in params}
        params = {name: param for name, (param, _) in stepped.items()}
        slots = {name: own for name, (_, own) in stepped.items()}
        return [*tree_flatten((params, buffers, slots))[0], loss]

    def _criterion(self, numbers: dict[str, Tensor], drawn: dict[str, Tensor]) -> Callable[[Tensor, Tensor], Any]:
        """A function of a batch: its inputs as the lane sees them, and the loss of the outputs for them."""
        smoothing = numbers["label_smoothing"]

        def plain(outputs: Tensor, targets: Tensor) -> Tensor:
            loss: Tensor = self.objective.loss(outputs, targets, smoothing)
            return loss

        if "mixup" not in numbers:
            return lambda x, y: (x, lambda outputs: plain(outputs, y))
        partners = drawn[MIXUP_PARTNERS].argsort()
        weight = mixing_weight(numbers["mixup"], *drawn[MIXUP_WEIGHT].unbind())
        return lambda x, y: (mix(x, partners, weight), lambda out: mixed_loss(plain, out, y, partners, weight))

    def _updated(
        self, name: str, param: Tensor, gradient: Tensor, slots: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
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

    def weights(self, state: Sequence[Tensor], row: Tensor) -> dict[str, Tensor]:
        """The weights and buffers to evaluate or to save, by the names of the model's `state_dict`."""
        params, buffers, slots = tree_unflatten(list(state), self._structure)
        numbers = dict(zip(self.numbers, row.unbind(0), strict=True))
        evaluated = {name: self.rules[name].evaluated(param, slots[name], numbers) for name, param in params.items()}
        return {**evaluated, **buffers}

    def evaluate(self, *flat: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, metric) of every row: (*state, numbers [count], x, y) -> two tensors [rows]."""
        *state, row, x, y = flat
        outputs = functional_call(self.model("eval"), self.weights(state, row), (x,))
        losses, metrics = self.objective.row_scores(outputs, y)
        return losses, metrics

    def zeros(self, state: Sequence[Tensor]) -> Tensor:
        """Share of the penalised weights that are exactly zero, for stacked lanes: float64 [lanes]."""
        params, _, _ = tree_unflatten(list(state), self._structure)
        chosen = [param.flatten(1) for name, param in params.items() if name in self.penalised]
        lanes = len(next(iter(params.values())))
        if not chosen:
            return torch.zeros(lanes, dtype=torch.float64)
        return torch.cat([(param == 0).double().cpu() for param in chosen], dim=1).mean(dim=1)

    @property
    def idle_numbers(self) -> list[str]:
        """Numbers of the recipe that no layer of the model reads."""
        layers = {"dropout", "stochastic_depth", "norm_momentum"}
        return sorted(layers & set(self.numbers) - set(self.lane_buffers.values()))

    @property
    def state_size(self) -> int:
        """How many tensors the state of a lane has."""
        return int(self._structure.num_leaves)
