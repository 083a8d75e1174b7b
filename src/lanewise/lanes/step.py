"""The one step function, for one lane; `vmap` makes a pack of it, a loop over lanes is its cross-check.

The state of a lane is a flat list of tensors: parameters, buffers, the update rule's slots, averaged weights. A step is
a pure function of state, this step's numbers, batch and random draws, and returns the new state and the loss.
"""

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad_and_value
from torch.utils._pytree import tree_flatten, tree_unflatten

from lanewise.data.nested import Inputs, leaves, mapped, row_count, shapes, take
from lanewise.errors import InputError, one_line
from lanewise.lanes.adapt import adapted
from lanewise.lanes.attributes import packed
from lanewise.lanes.batch import BatchLayout, micro_batches
from lanewise.lanes.bound import Bound
from lanewise.lanes.channels_last import IMAGE_AXES
from lanewise.lanes.listening import heard, listen, listening
from lanewise.lanes.numbers import AVERAGING, number_names
from lanewise.lanes.real import KEPT, ORIGIN, Real, layer_numbers, set_layer_numbers
from lanewise.lanes.twins import (
    MIXUP_PARTNERS,
    MIXUP_WEIGHT,
    draw_shapes,
    draws_itself,
    lane_buffers,
    start_calls,
    with_twins,
)
from lanewise.lanes.verdict import MOST_ROWS, Examination, Functions, Verdict, watched
from lanewise.objectives import Objective
from lanewise.parts.clipping import clipped
from lanewise.parts.mixup import mixing_weight
from lanewise.parts.norm import exponential_average
from lanewise.parts.penalties import decayed, penalty_gradient, proximal_l1
from lanewise.parts.roles import penalised, roles
from lanewise.recipe import Recipe


class LaneStep:
    """The step of one lane, for all lanes whose recipes share the structure of `recipe`.

    Args:
        model: gives the architecture; its weights are not used.
        recipe: gives the structure; its numbers are not used.
        objective: what is trained for.
        x: inputs of one training batch, for the shapes of the random draws. y: its targets, or None.
        precision: of the forward pass, see `lanewise.lanes.precision`.
        new: gives the model of a repeat as the user's function makes it; copies of `model` by default.
        origin: the repeat of `model`.
        verdicts: what is known of models by what changes them; None if lanes are never to be trained.

    Attributes:
        verdict: whether lanes run as functions, which can be packed, or one by one in a real module, and why.
        numbers: names of the rows of a number table: the recipe's numbers, then `t`, the steps done before.
        example: two rows of inputs, on the CPU.
        draws: name -> shape of the draws that a step needs, for each of the batches it accumulates.
        least_lanes: lanes an eager pack must have for a lane to be the same bit for bit in any.
        holds_images: whether it may matter to speed how images lie in memory.
        rates: the numbers that scale a step; they fall in a cool-down.
        batch_rows: rows of each of the batches that a step accumulates.
        normed: the batch norm layers whose statistics can be taken anew.
        draws_itself: whether the model draws from torch's global generator beside; it is seeded before each step then.
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
        verdicts: dict[str, Verdict] | None = None,
    ) -> None:
        self.recipe, self.rule, self.objective, self._precision = recipe, recipe.rule, objective, precision
        self.numbers = number_names(recipe)
        self.layout = BatchLayout(x, y)
        self.batch_rows = rows = row_count(x) // recipe.accumulate
        x, y = take(x, slice(rows)), take(y, slice(rows))
        self.example = mapped(lambda leaf: leaf[:2].cpu(), x)
        device = self._device = leaves(x)[0].device
        self._new = new or (lambda _: copied(model))
        self._of_thread = threading.local()
        self._structure: Any = None
        reference = self._as_functions(model, x, y)
        self.verdict = self._examined(reference, x, y, origin, verdicts)
        if self.verdict.real:
            reference = self._as_it_is(x, y, origin)
        assert reference is not None
        self.draws = {name: self.draws[name] for name in self._buffers}
        if recipe.mixup is not None:
            self.draws |= {MIXUP_PARTNERS: (rows,), MIXUP_WEIGHT: (2,)}
        if recipe.accumulate > 1:
            self.draws = {name: (recipe.accumulate, *shape) for name, shape in self.draws.items()}
        self.roles = roles(reference)
        self.penalised = penalised(reference, recipe.penalised)
        self.rules = {name: self.rule.for_role(self.roles[name], param) for name, param in reference.named_parameters()}
        channels = [
            layer.out_channels for layer in reference.modules() if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        ]
        # oneDNN adds up otherwise where a pack's convolution has fewer than eight channels in all.
        self.least_lanes = max(4, -(-8 // min(channels))) if channels else 2
        self.holds_images = device.type == "cpu" and any(param.ndim == IMAGE_AXES for param in reference.parameters())
        self.rates = {rule.rate for rule in self.rules.values()}

    def _as_functions(self, model: nn.Module, x: Inputs, y: Tensor | None) -> nn.Module | None:
        """Make functions of a lane's tensors of copies of `model`; the twin, or None where that fails."""
        self.draws, self._buffers, self._failed = {}, [], ""

        def one_pass(tried: nn.Module) -> None:
            self.objective.one_pass(tried, x, y)

        try:
            twin = with_twins(adapted(model, self.recipe, self.example), self.recipe).to(self._device)
            if {id(param) for param in twin.parameters()} & {id(param) for param in model.parameters()}:
                raise TypeError("a copy of the model by copy.deepcopy holds the same parameters")
            for layer in twin.modules():
                if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
                    # Packed, a sparse gradient has no form; dense, it is the same numbers.
                    layer.sparse = False
            dtype = next(twin.parameters()).dtype
            self.draws = draw_shapes(twin, one_pass, dtype, self._device)
            self.draws_itself = draws_itself(twin, one_pass, self._device)
            self._models = {"train": copy.deepcopy(twin).train(), "eval": twin.eval(), "listen": listening(twin)}
            self.normed = normed(copy.deepcopy(self._models["listen"]), one_pass)
        except InputError:
            raise
        except Exception as error:
            self._failed = one_line(error)
            return None
        self._buffers = list(self.draws)
        self.lane_buffers = lane_buffers(twin)
        self._layer_numbers = set(self.lane_buffers.values())
        return twin

    def _examined(
        self, twin: nn.Module | None, x: Inputs, y: Tensor | None, origin: int, verdicts: dict[str, Verdict] | None
    ) -> Verdict:
        if verdicts is None and twin is not None:
            return Verdict()
        recipe = self.recipe
        given = [recipe.norm_momentum is not None, recipe.dropout is not None, recipe.stochastic_depth is not None]
        key = str((recipe.width, recipe.norm, recipe.norm_groups, recipe.ghost, *given))
        known = {} if verdicts is None else verdicts
        if key not in known:
            try:
                known[key] = self._examination(twin, x, y, origin)
            except InputError:
                raise
            except Exception as error:
                if twin is None:
                    raise InputError(
                        f"model fails on a training batch of shape {shapes(x)}: {one_line(error)}"
                    ) from error
                # It is told when lanes are to be trained, with what cannot be tried here.
                return Verdict()
        return known[key]

    def _examination(self, twin: nn.Module | None, x: Inputs, y: Tensor | None, origin: int) -> Verdict:
        # How a model behaves shows in a few rows; ghost batch norm divides whole batches.
        few = slice(row_count(x) if self.recipe.ghost else MOST_ROWS)
        examination = Examination(
            self.real_model,
            origin,
            self.objective,
            (take(x, few), take(y, few)),
            draws=twin is not None and self.draws_itself,
            momentum=self.recipe.norm_momentum is not None,
        )
        if twin is None:
            return examination.verdict(None, self._failed)
        params = {name for name, param in twin.named_parameters() if param.requires_grad}
        train, scored = self.new_bound("train", "float32"), self.new_bound("eval", "float32")
        return examination.verdict(Functions(self.gradients, train, scored, params, self._buffers), "")

    def real_model(self, origin: int) -> nn.Module:
        """The model of the repeat `origin`, as the user's function makes it but for what the recipe converts."""
        return adapted(self._new(origin), self.recipe, self.example).to(self._device)

    def _as_it_is(self, x: Inputs, y: Tensor | None, origin: int) -> nn.Module:
        self.draws, self._buffers, self.draws_itself, self.lane_buffers = {}, [], True, {}
        model = listen(self.real_model(origin))
        self._layer_numbers = layer_numbers(model)
        self.normed = normed(model, lambda tried: self.objective.one_pass(tried, x, y))
        return model

    def model(self, mode: str) -> Bound:
        """The twin model in mode `train`, `eval` or `listen`, one a thread: `functional_call` swaps its tensors."""
        if not hasattr(self._of_thread, mode):
            setattr(self._of_thread, mode, self.new_bound(mode, self._precision))
        found: Bound = getattr(self._of_thread, mode)
        return found

    def new_bound(self, mode: str, precision: str) -> Bound:
        """A new copy of the twin model in one of the modes."""
        return Bound(copy.deepcopy(self._models[mode]), self.objective, precision, self._device)

    @contextlib.contextmanager
    def watched(self, mode: str) -> Iterator[list[str]]:
        """The layers that the model is in, outermost first: what is left of them after an error did not come back."""
        with watched(self.model(mode).model) as inside:
            yield inside

    def _real(self, tensors: dict[str, Tensor], listens: bool = False) -> Real:
        """The real module of a lane, one a thread and repeat, with its `tensors` loaded."""
        origin = int(tensors[ORIGIN])
        reals: dict[tuple[int, bool], Real] = self._of_thread.__dict__.setdefault("reals", {})
        if (origin, listens) not in reals:
            model = self.real_model(origin)
            given = self.objective, self._precision, self._device, self.verdict.stateful
            reals[origin, listens] = Real(listen(model) if listens else model, *given)
        found = reals[origin, listens]
        found.load(tensors, training=not listens)
        return found

    def initial_state(self, model: nn.Module, origin: int = 0) -> list[Tensor]:
        """The flat state of a lane that starts from the weights of `model`, of the repeat `origin`."""
        model = adapted(model, self.recipe, self.example)

        def copied(tensor: Tensor) -> Tensor:
            return tensor.detach().to(self._device).clone()

        params = {name: copied(param) for name, param in model.named_parameters() if param.requires_grad}
        frozen = {name: copied(param) for name, param in model.named_parameters() if not param.requires_grad}
        buffers = {name: copied(buffer) for name, buffer in model.named_buffers()}
        slots = {name: self.rules[name].init(param) for name, param in params.items()}
        if self._counts_steps:
            slots = {name: {**own, STEPS: own_steps(params[name])} for name, own in slots.items()}
        if self.verdict.real:
            buffers[ORIGIN] = torch.tensor(origin, device=self._device)
        if self.verdict.stateful:
            buffers[KEPT] = packed({}).to(self._device)
        averages = mapped(torch.clone, averaged(params, buffers)) if self.averages else {}
        flat, self._structure = tree_flatten((params, buffers | frozen, slots, averages))
        return flat

    def train(self, *flat: Tensor, native: bool = False) -> list[Tensor]:
        """One training step of one lane: (*state, numbers [count], *batch, *draws) -> [*state, loss]."""
        size = self._structure.num_leaves
        params, buffers, slots, averages = tree_unflatten(list(flat[:size]), self._structure)
        numbers = dict(zip(self.numbers, flat[size].unbind(0), strict=True))
        batch, draws = flat[size + 1 : size + 1 + self.layout.count], flat[size + 1 + self.layout.count :]
        count = self.recipe.accumulate
        parts = [batch] if count == 1 else micro_batches(batch, count)
        drawn = [
            dict(zip(self.draws, draws if count == 1 else [draw[number] for draw in draws], strict=True))
            for number in range(count)
        ]
        if self.verdict.real:
            gradients, loss, params, buffers = self._by_real_module(params, buffers, numbers, parts, drawn)
        else:
            # Where other steps may use other parameters, plain autograd tells which a step has used.
            gradients, loss, buffers = self._by_functions(
                params, buffers, numbers, parts, drawn, native, native and self.verdict.varies
            )
        if "clip" in numbers and gradients:
            gradients = clipped(gradients, numbers["clip"])
        stepped = {
            name: self._updated(name, param, gradients[name], slots[name], numbers)
            if name in gradients
            else (param.clone(), slots[name])
            for name, param in params.items()
        }
        params = {name: param for name, (param, _) in stepped.items()}
        slots = {name: own for name, (_, own) in stepped.items()}
        if averages:
            now = averaged(self._evaluated(params, slots, numbers), buffers)
            decay = numbers[AVERAGING]
            averages = {name: exponential_average(average, now[name], decay) for name, average in averages.items()}
        return [*tree_flatten((params, buffers, slots, averages))[0], loss]

    def _by_real_module(
        self,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        numbers: dict[str, Tensor],
        parts: Sequence[Sequence[Tensor]],
        drawn: Sequence[dict[str, Tensor]],
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """(gradients, loss, parameters and buffers after the forward pass) of a step, by plain autograd."""
        real = self._real(params | buffers)
        set_layer_numbers(real.model, numbers)
        batches = [self.layout.batch(part) for part in parts]
        blends = [self._blend(numbers, own) for own in drawn]
        found, loss = real.gradients(batches, numbers["label_smoothing"], blends)
        now = {name: param.detach().clone() for name, param in real.model.named_parameters()}
        after = now | real.buffers()
        gradients = {name: found[name] for name in params if name in found}
        return gradients, loss, {name: now[name] for name in params}, {n: after.get(n, buffers[n]) for n in buffers}

    def _by_functions(
        self,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        numbers: dict[str, Tensor],
        parts: Sequence[Sequence[Tensor]],
        drawn: Sequence[dict[str, Tensor]],
        native: bool,
        by_leaves: bool,
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """(gradients, loss, buffers after it) of a step."""
        bound, count = self.model("train"), len(parts)
        bound.take_native(native)
        total: dict[str, Tensor] = {}
        losses = []
        for part, own in zip(parts, drawn, strict=True):
            batch = self.layout.batch(part)
            gradients, loss, buffers = self.gradients(bound, params, buffers, numbers, batch, own, by_leaves)
            total |= {name: total[name] + found if name in total else found for name, found in gradients.items()}
            losses.append(loss)
        gradients = total if count == 1 else {name: found / count for name, found in total.items()}
        if not self.verdict.varies:
            gradients = {name: found for name, found in gradients.items() if name not in self.verdict.unused}
        return gradients, losses[0] if count == 1 else torch.stack(losses).mean(), buffers

    @staticmethod
    def _blend(numbers: dict[str, Tensor], drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        if "mixup" not in numbers:
            return None
        weight = mixing_weight(numbers["mixup"], *drawn[MIXUP_WEIGHT].unbind())
        return drawn[MIXUP_PARTNERS].argsort(), weight

    def gradients(
        self,
        bound: Bound,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        numbers: dict[str, Tensor],
        batch: tuple[Inputs, Tensor | None],
        drawn: dict[str, Tensor],
        by_leaves: bool = False,
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """(gradients, loss, new buffers) of one batch; `by_leaves` those of the parameters that were used alone."""
        given = {name: drawn[name] for name in self._buffers}
        given |= {buffer: numbers[name] for buffer, name in self.lane_buffers.items()}
        blend = self._blend(numbers, drawn)

        def loss_of(params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            fresh = {name: buffer.clone() for name, buffer in buffers.items()}
            start_calls(bound)
            tensors = {**params, **fresh, **given}
            loss, after = bound.run(tensors, "training_loss", *batch, numbers["label_smoothing"], blend)
            return loss, {name: after[name] for name in fresh}

        if by_leaves:
            leaf = {name: param.detach().requires_grad_() for name, param in params.items()}
            with torch.enable_grad():
                loss, buffers = loss_of(leaf)
                found = torch.autograd.grad(loss, list(leaf.values()), allow_unused=True)
            gradients = {name: one.detach() for name, one in zip(leaf, found, strict=True) if one is not None}
            return gradients, loss.detach(), {name: buffer.detach() for name, buffer in buffers.items()}
        gradients, (loss, buffers) = grad_and_value(loss_of, has_aux=True)(params)
        return gradients, loss, buffers

    def _updated(
        self, name: str, param: Tensor, gradient: Tensor, slots: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if name in self.penalised:
            l1 = 0.0 if self.recipe.l1_step == "proximal" else numbers["l1"]
            gradient = gradient + penalty_gradient(param, numbers["l2"], l1)
            param = decayed(param, numbers["decay"], numbers[self.rules[name].rate], self.recipe.decay_by)
        done = slots.get(STEPS, numbers["t"])
        param, after = self.rules[name].update(param, gradient, slots, numbers, done)
        if STEPS in slots:
            after = {**after, STEPS: done + 1}
        # The state is flat: slots keep the order that they began with, whichever a rule returns them in.
        slots = {slot: after[slot] for slot in slots}
        if name in self.penalised and self.recipe.l1_step == "proximal":
            param = proximal_l1(param, numbers[self.rules[name].rate] * numbers["l1"])
        return param, slots

    def _evaluated(
        self, params: dict[str, Tensor], slots: dict[str, dict[str, Tensor]], numbers: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return {name: self.rules[name].evaluated(param, slots[name], numbers) for name, param in params.items()}

    def weights(self, state: Sequence[Tensor], row: Tensor) -> dict[str, Tensor]:
        """The weights and buffers to evaluate or to save, by the names of the model's `state_dict`."""
        found = self._tensors(state, row)
        return {name: tensor for name, tensor in found.items() if name not in (ORIGIN, KEPT)}

    def _tensors(self, state: Sequence[Tensor], row: Tensor) -> dict[str, Tensor]:
        """All that a lane is evaluated with."""
        params, buffers, slots, averages = tree_unflatten(list(state), self._structure)
        numbers = dict(zip(self.numbers, row.unbind(0), strict=True))
        return {**self._evaluated(params, slots, numbers), **buffers, **averages}

    def evaluate(self, *flat: Tensor, native: bool = False) -> tuple[Tensor, Tensor]:
        """(loss, metric) of every row by `Objective.scores`: (*state, numbers [count], *batch) -> each [rows]."""
        size = self._structure.num_leaves
        batch = self.layout.batch(flat[size + 1 :])
        tensors = self._tensors(flat[:size], flat[size])
        if self.verdict.real:
            return self._real(tensors).scores(batch)
        self.model("eval").take_native(native)
        scores, _ = self.model("eval").run(tensors, "scores", *batch)
        losses, metrics = scores
        return losses, metrics

    def statistics(self, *flat: Tensor, native: bool = False) -> list[Tensor]:
        """What the weights of one lane, averaged or not, give: (*state, numbers [count], *batch) -> float64 tensors.

        For every layer of `normed` the mean [channels] of its inputs, the sum of their squared deviations [channels],
        and how many values there are for each channel (0-d).
        """
        size = self._structure.num_leaves
        batch = self.layout.batch(flat[size + 1 :])
        # Layers write into their buffers, and the state must stay as it is.
        tensors = {name: tensor.clone() for name, tensor in self._tensors(flat[:size], flat[size]).items()}
        if self.verdict.real:
            real = self._real(tensors, listens=True)
            heard(real.model)
            real.one_pass(batch)
            found = heard(real.model)
        else:
            bound = self.model("listen")
            bound.take_native(native)
            bound.run(tensors, "one_pass", *batch)
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
        return sorted(layers & set(self.numbers) - self._layer_numbers)

    @property
    def _counts_steps(self) -> bool:
        """Whether each parameter has a count of its own steps, as in torch.optim: those without a gradient are none."""
        return bool(self.verdict.real) or self.verdict.varies

    @property
    def state_size(self) -> int:
        """How many tensors the state of a lane has."""
        return int(self._structure.num_leaves)


def averaged(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """What an average is kept of: all weights, and the running statistics and other floating-point buffers."""
    return weights | {name: buffer for name, buffer in buffers.items() if buffer.is_floating_point()}


STEPS = "steps"
"""The slot that counts the steps in which a parameter had a gradient."""


def own_steps(param: Tensor) -> Tensor:
    """No steps yet, in the type in which a table has them."""
    real = param.real if param.is_complex() else param
    return torch.zeros((), dtype=real.dtype, device=param.device)


def normed(listener: nn.Module, one_pass: Callable[[nn.Module], None]) -> tuple[str, ...]:
    """The batch norm layers of a model that is listening whose statistics can be taken anew."""
    with torch.no_grad():
        one_pass(listener)
    return tuple(heard(listener))


def copied(model: nn.Module) -> nn.Module:
    """A copy of `model`, or itself where there can be none."""
    try:
        return copy.deepcopy(model)
    except Exception:
        return model
