"""The forms of a model in which lanes run: functions of copies of it, or the module itself, as its traits require."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import grad_and_value

from lanewise.data.arrays.nested import Inputs, leaves, mapped, row_count, shapes, take
from lanewise.errors import InputError, one_line
from lanewise.lanes.attributes.attributes import Attributes
from lanewise.lanes.frozen.calls import Followed, Following, SharedCall
from lanewise.lanes.frozen.copies import another, copied
from lanewise.lanes.frozen.given import Computing
from lanewise.lanes.frozen.kept import MODES, Kept
from lanewise.lanes.model.adapt import adapted
from lanewise.lanes.model.agreement import doubled
from lanewise.lanes.model.bound import Bound, computing
from lanewise.lanes.model.examination import MOST_ROWS, Examination
from lanewise.lanes.model.lane_layers import (
    MIXUP_PARTNERS,
    MIXUP_WEIGHT,
    draw_shapes,
    draws_itself,
    lane_buffers,
    start_calls,
    with_lane_layers,
)
from lanewise.lanes.model.observing import normed, observe
from lanewise.lanes.model.passes import Functions, computed, watched
from lanewise.lanes.model.plain_autograd import ORIGIN, Batch, Real, RealForm, layer_numbers
from lanewise.lanes.model.plain_form import PlainForm
from lanewise.lanes.model.traits import ModelTraits
from lanewise.parts.mixup import mixing_weight
from lanewise.parts.reals import real_type
from lanewise.recipe.recipe import Recipe
from lanewise.task.models import converted
from lanewise.task.objectives import Objective

FOLLOWED_ROWS = 8
"""Rows of the passes that are followed: all that they compute is kept. Draws have whole batches."""


class Forms:
    """The models that lanes of one structure run with.

    Args:
        batch: inputs and targets of one of the batches that a step accumulates; for all else see `LaneStep`.

    Attributes:
        traits: whether lanes run as functions, which can be packed, or one by one in a real module, and why.
        reference: a model whose layers and parameters are those that lanes have.
        example: two rows of inputs, on the CPU.
        draws: name -> shape of the draws of dropout layers, whose names are `masks`.
        lane_buffers: buffers that hold a number of the lane -> the recipe's name of that number.
        normed: the batch norm layers whose statistics can be taken anew.
        held: names of the frozen parameters, and of buffers that no pass changes: one copy serves all lanes of a
            repeat. constants: those of them that a program is given; a real module has them already.
        shared: by mode, the calls of layers that are computed once for all lanes. given: by mode, the names of the
            buffers that what they return is handed in by. costly: whether that is worth keeping.
        draws_itself: whether the model draws from torch's global generator beside; it is seeded before each step then.
    """

    draws: dict[str, tuple[int, ...]]
    masks: tuple[str, ...]
    draws_itself: bool
    lane_buffers: dict[str, str]
    normed: tuple[str, ...]
    held: tuple[str, ...]
    constants: tuple[str, ...]
    shared: dict[str, tuple[SharedCall, ...]]
    given: dict[str, tuple[str, ...]]
    _layer_numbers: set[str]
    _models: dict[str, nn.Module]

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        objective: Objective,
        batch: Batch,
        precision: str,
        new: Callable[[int], nn.Module] | None,
        origin: int,
        known_traits: dict[str, ModelTraits] | None,
    ) -> None:
        self.recipe, self.objective, self._precision = recipe, objective, precision
        self.example = mapped(lambda leaf: leaf[:2].cpu(), batch[0])
        self._device = leaves(batch[0])[0].device
        self._new = new or (lambda _: copied(model))
        self._of_thread = threading.local()
        self.shared, self.given = dict.fromkeys(MODES, ()), dict.fromkeys(MODES, ())
        # The passes of trials must leave no trace in what the model shares with others: closures, globals, classes.
        before = Attributes(model)
        lane_layer, failed = self._as_functions(model, batch)
        self.traits = self._examined(lane_layer, failed, batch, origin, known_traits)
        if lane_layer is None or self.traits.real:
            lane_layer = self._as_it_is(batch, origin)
        self.reference = lane_layer
        kept = Kept(self.reference, self.traits.moved)
        if kept.held and known_traits is not None and not self.traits.real:
            rows = row_count(batch[0])
            whole = self.recipe.ghost or self.draws or rows <= FOLLOWED_ROWS
            for count in [rows] if whole else [FOLLOWED_ROWS, rows]:
                few = take(batch[0], slice(count)), take(batch[1], slice(count))
                followed = partial(self._followed, batch=few)
                if kept.find(followed, {*self.lane_buffers, *self.draws}, self.normed, bool(self.traits.looks)):
                    break
        self.held, self.shared, self.costly = kept.held, kept.shared, kept.costly
        self.constants = () if self.traits.real else kept.handed_in()
        self.given = {mode: tuple(n for call in calls for n in call.full_names) for mode, calls in self.shared.items()}
        before.put({})

    def _as_functions(self, model: nn.Module, batch: Batch) -> tuple[nn.Module | None, str]:
        """Make functions of a lane's tensors of copies of `model`: (the lane layer, "") or (None, why that fails)."""

        def one_pass(tried: nn.Module) -> None:
            self.objective.one_pass(tried, *batch)

        try:
            lane_layer = with_lane_layers(adapted(model, self.recipe, self.example), self.recipe).to(self._device)
            if {id(param) for param in lane_layer.parameters()} & {id(param) for param in model.parameters()}:
                raise TypeError("a copy of the model by copy.deepcopy holds the same parameters")
            for layer in lane_layer.modules():
                if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
                    # Packed, a sparse gradient has no form; dense, it is the same numbers.
                    layer.sparse = False
            dtype = real_type(next(lane_layer.parameters()).dtype)
            self.draws = draw_shapes(lane_layer, one_pass, dtype, self._device)
            self.draws_itself = draws_itself(lane_layer, one_pass, self._device)
            self._models = {
                "train": another(lane_layer).train(),
                "eval": lane_layer.eval(),
                "observe": observe(another(lane_layer)),
            }
            self.normed = normed(another(self._models["observe"]), one_pass)
        except InputError:
            raise
        except Exception as error:
            return None, computed(model) or f"torch.func cannot take a copy of the model: {one_line(error)[:200]}"
        self.masks = tuple(self.draws)
        self.lane_buffers = lane_buffers(lane_layer, self.recipe)
        self._layer_numbers = set(self.lane_buffers.values())
        return lane_layer, ""

    def _examined(
        self,
        lane_layer: nn.Module | None,
        failed: str,
        batch: Batch,
        origin: int,
        known_traits: dict[str, ModelTraits] | None,
    ) -> ModelTraits:
        if known_traits is None and lane_layer is not None:
            return ModelTraits()
        recipe = self.recipe
        given = [recipe.norm_momentum is not None, recipe.dropout is not None, recipe.stochastic_depth is not None]
        key = str((*recipe.sizes.items(), recipe.norm, recipe.norm_groups, recipe.ghost, *given))
        known = {} if known_traits is None else known_traits
        if key not in known:
            known[key] = self._tried(lane_layer, failed, batch, origin)
        return known[key]

    def _tried(self, lane_layer: nn.Module | None, failed: str, batch: Batch, origin: int) -> ModelTraits:
        rows = row_count(batch[0])
        # How a model behaves shows in a few rows; ghost batch norm, and some objectives, want whole batches.
        counts = [rows] if self.recipe.ghost or rows <= MOST_ROWS else [MOST_ROWS, rows]
        for count in counts:
            try:
                return self._examination(
                    lane_layer, failed, (take(batch[0], slice(count)), take(batch[1], slice(count))), origin
                )
            except InputError:
                raise
            except Exception as error:
                if count < rows:
                    continue
                if lane_layer is None:
                    text = f"model fails on a training batch of shape {shapes(batch[0])}: {one_line(error)}"
                    raise InputError(text) from error
                # What is wrong with a training step is reported when lanes are trained.
                note = (
                    f"the model could not be examined, so lanes are trained as functions of it: {one_line(error)[:200]}"
                )
                return ModelTraits(notes=(note,))
        raise AssertionError("a batch has rows")

    def _examination(self, lane_layer: nn.Module | None, failed: str, batch: Batch, origin: int) -> ModelTraits:
        found, differs = self._examined_as(lane_layer, failed, batch, origin, self.real_model)
        if not differs:
            return found
        # In float32 rounding may turn a unit on or off, and with it a gradient; float64 tells that from a fault.
        x, y = (None if nested is None else mapped(doubled, nested) for nested in batch)
        try:
            exact, differs = self._examined_as(
                lane_layer, failed, (x, y), origin, lambda origin: converted(self.real_model(origin), torch.float64)
            )
        # Some models make float32 tensors of their own.
        except Exception:
            return found
        return found if differs else exact

    def _examined_as(
        self,
        lane_layer: nn.Module | None,
        failed: str,
        batch: Batch,
        origin: int,
        new: Callable[[int], nn.Module],
    ) -> tuple[ModelTraits, bool]:
        """(the traits of the model that `new` makes, whether functions of it differ from it)."""
        draws, momentum = lane_layer is not None and self.draws_itself, self.recipe.norm_momentum is not None
        examination = Examination(new, origin, self.objective, batch, draws=draws, momentum=momentum)
        if lane_layer is None:
            return examination.traits(None, failed), False
        params = {name for name, param in lane_layer.named_parameters() if param.requires_grad}
        train, scored = self.new_bound("train", "float32"), self.new_bound("eval", "float32")
        traits = examination.traits(Functions(self.gradients, train, scored, params, self.masks), "")
        return traits, examination.differs

    def _followed(
        self, mode: str, batch: Batch, own: Collection[str], among: Collection[str] | None = None
    ) -> Followed:
        """What a pass in `mode` shows, with lanes' `own` tensors beside what is always theirs."""
        bound = self.new_bound(mode, "float32")
        watch = Following(bound.model, {*own, *self.lane_buffers, *self.draws}, self._device)

        def run() -> None:
            start_calls(bound)
            if mode == "eval":
                bound("scores", *batch)
                return
            blend = None
            if self.recipe.mixup is not None:
                weight = torch.zeros((), device=self._device)
                watch.follow([weight])
                blend = torch.arange(row_count(batch[0]), device=self._device), weight
            bound("training_loss", *batch, 0.0, blend)

        return watch.of(run, among)

    def real_model(self, origin: int) -> nn.Module:
        """The model of the repeat `origin`, as the user's function makes it but for what the recipe converts."""
        return adapted(self._new(origin), self.recipe, self.example).to(self._device)

    def _as_it_is(self, batch: Batch, origin: int) -> nn.Module:
        self.draws, self.masks, self.draws_itself, self.lane_buffers = {}, (), True, {}
        model = observe(self.real_model(origin))
        self._layer_numbers = layer_numbers(model)
        self.normed = normed(model, lambda tried: self.objective.one_pass(tried, *batch))
        return model

    def model(self, mode: str) -> Bound:
        """The model with lane layers in mode `train`, `eval` or `observe`, one a thread, as its tensors are swapped."""
        if not hasattr(self._of_thread, mode):
            setattr(self._of_thread, mode, self.new_bound(mode, self._precision))
        found: Bound = getattr(self._of_thread, mode)
        return found

    def new_bound(self, mode: str, precision: str) -> Bound:
        """A new copy of the lane layer model in one of the modes."""
        bound = Bound(another(self._models[mode]), self.objective, precision, self._device)
        bound.give(self.shared[mode])
        return bound

    def computing(self, mode: str, tensors: Mapping[str, Tensor]) -> Computing | None:
        """What computes the calls that lanes share in `mode`, by the `tensors` held; None where there are none."""
        calls = self.shared[mode]
        if not calls:
            return None
        bound = Bound(another(self._models[mode]), self.objective, self._precision, self._device)
        return computing(bound, calls, tensors)

    def form_of(self, tensors: dict[str, Tensor]) -> PlainForm | RealForm:
        """The model of this thread for training lanes in place, with the `tensors` of a lane."""
        if self.traits.real:
            form: PlainForm | RealForm = RealForm(self._real_of(int(tensors[ORIGIN])))
        else:
            if not hasattr(self._of_thread, "plain_form"):
                self._of_thread.plain_form = PlainForm(self.new_bound("train", self._precision), self.lane_buffers)
            form = self._of_thread.plain_form
            tensors = {name: tensor for name, tensor in tensors.items() if name != ORIGIN}
        form.take_on(tensors)
        return form

    @staticmethod
    def blend(numbers: Mapping[str, Tensor | float], drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Mixup's partners and weight, where a recipe has it."""
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
        constants: Mapping[str, Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """(gradients, loss, new buffers) of one batch; `by_leaves` those of the parameters that were used alone."""
        given = {name: drawn[name] for name in (*self.masks, *self.given["train"])} | dict(constants or {})
        given |= {buffer: numbers[name] for buffer, name in self.lane_buffers.items() if name in numbers}
        blend = self.blend(numbers, drawn)

        def loss_of(params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            fresh = {name: buffer.clone() for name, buffer in buffers.items() if name != ORIGIN}
            start_calls(bound)
            tensors = {**params, **fresh, **given}
            loss, after = bound.run(tensors, "training_loss", *batch, numbers["label_smoothing"], blend)
            return loss, {name: after.get(name, buffer) for name, buffer in buffers.items()}

        if by_leaves:
            leaf = {name: param.detach().requires_grad_() for name, param in params.items()}
            with torch.enable_grad():
                loss, buffers = loss_of(leaf)
                found = torch.autograd.grad(loss, list(leaf.values()), allow_unused=True)
            gradients = {name: one.detach() for name, one in zip(leaf, found, strict=True) if one is not None}
            return gradients, loss.detach(), {name: buffer.detach() for name, buffer in buffers.items()}
        gradients, (loss, buffers) = grad_and_value(loss_of, has_aux=True)(params)
        return gradients, loss, buffers

    @contextlib.contextmanager
    def watched(self, mode: str) -> Iterator[list[str]]:
        """The layers that the model is in, outermost first: what is left of them after an error did not come back."""
        with watched(self.model(mode).model) as inside:
            yield inside

    def _real(self, tensors: dict[str, Tensor], observes: bool = False) -> Real:
        """The real module of a lane with its `tensors` loaded."""
        found = self._real_of(int(tensors[ORIGIN]), observes)
        found.load(tensors, training=not observes)
        return found

    def _real_of(self, origin: int, observes: bool = False) -> Real:
        """The real module of the lanes of a repeat, one a thread."""
        reals: dict[tuple[int, bool], Real] = self._of_thread.__dict__.setdefault("reals", {})
        if (origin, observes) not in reals:
            model = self.real_model(origin)
            given = self.objective, self._precision, self._device, self.traits.stateful
            reals[origin, observes] = Real(observe(model) if observes else model, *given)
        return reals[origin, observes]
