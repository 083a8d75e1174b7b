"""How lanes of a model can be trained: found by a few passes of it, packed functions against the module itself.

`torch.func.functional_call` hands a lane's tensors to a copy of the model. A layer that is reached in another way (by a
closure over the module that was copied, say) would go on with weights of its own, unseen; so would what a forward pass
writes into a plain attribute. Therefore gradients, buffers and scores are compared with those of a real module.
"""

import contextlib
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn

from lanewise.data.arrays.nested import mapped
from lanewise.errors import InputError, one_line
from lanewise.lanes.attributes.attributes import Attributes
from lanewise.lanes.attributes.plain_values import Plain, same
from lanewise.lanes.attributes.stores import may_store
from lanewise.lanes.compile.reads import Reads
from lanewise.lanes.model.agreement import alike, close, holds_numbers, same_values, shaken, unreached
from lanewise.lanes.model.lane_layers import BATCH_NORMS
from lanewise.lanes.model.passes import NEUTRAL, NO_MASKS, Functions, Passed, called, entered
from lanewise.lanes.model.plain_autograd import Batch, Real, set_layer_numbers
from lanewise.lanes.model.traits import ModelTraits, check_kept, named
from lanewise.task.models import seeded
from lanewise.task.objectives import Objective

MOST_ROWS = 16
"""Rows of the passes: how a model behaves shows in a few."""
CAPTURED = "would mutate a captured Tensor"
"""What torch.func says of a layer that is not the copy's own; plain autograd then finds out which."""


class Examination:
    """The passes of one model.

    Args:
        new: the model as a factory makes it for a repeat, adapted to the recipe. origin: that repeat.
        batch: of a training step. draws: whether the functions were seen to draw from a global generator.
        momentum: whether a recipe gives batch norm its momentum.

    Attributes:
        differs: whether functions of the model gave other numbers than the module, which may be rounding.
    """

    def __init__(
        self,
        new: Callable[[int], nn.Module],
        origin: int,
        objective: Objective,
        batch: Batch,
        *,
        draws: bool = False,
        momentum: bool = False,
    ) -> None:
        self._objective = objective
        self._real = Real(new(origin), objective, "float32", torch.device("cpu"))
        # The other repeat's comes second: a model that reaches the layers of the latest one is to be found out.
        self._other = new(origin + 1)
        self._model, self._draws = self._real.model, draws
        for model in (self._model, self._other):
            set_layer_numbers(model, NEUTRAL if momentum else NO_MASKS)
        self._attributes = Attributes(self._model)
        self._batch = batch
        self.differs = False
        self._trained = {name for name, param in self._model.named_parameters() if param.requires_grad}
        self._start = {name: shaken(param.detach()) for name, param in self._model.named_parameters()}
        self._start |= {name: buffer.detach().clone() for name, buffer in self._model.named_buffers()}

    def passed(
        self, batch: Batch | None = None, attributes: dict[str, Plain] | None = None, reads: Reads | None = None
    ) -> Passed:
        """A training pass of the real module, seen by `reads`."""
        self._attributes.put(attributes or {})
        self._real.load(self._start)
        with contextlib.ExitStack() as around:
            around.enter_context(seeded(0))
            if reads is not None:
                # After `put`, which would empty what these hooks refer to.
                inside = around.enter_context(entered(self._model, lambda name, layer: (name, layer)))
                around.enter_context(reads.at(lambda: place(inside)))
            loss = self._real.backward(batch or self._batch, NEUTRAL["label_smoothing"], None)
        return Passed(loss, self._real.taken_gradients(), self._real.buffers())

    def traits(self, functions: Functions | None, failed: str) -> ModelTraits:
        """What the passes show.

        Args:
            functions: the model as functions, or None where they could not be made. failed: why not.
        """
        reads = Reads()
        try:
            first = self.passed(reads=reads)
        # What is compiled or scripted may refuse to be watched.
        except Exception:
            reads.found = True
            first = self.passed()
        changed = self._attributes.changed()
        check_kept(self._attributes)
        moved = self._moved()
        notes = self._reached_beside()
        stateful = self._counts(first, changed)
        cached = () if stateful else self._counts_in_evaluation()
        varies = reads.found or self._draws
        unused = self._unused(first, varies)
        may_change = varies and not stateful and may_store(self._model)
        why = ""
        if stateful:
            why = f"a forward pass changes {named(self._changing(changed))}, which goes with each lane"
        elif cached:
            why = f"in evaluation it changes {named(cached)}, which must go with each lane"
        elif moved:
            why = f"a forward pass changes the parameters {named(moved)} themselves"
        elif different := self._different(first):
            why = f"{named(different)} differs from repeat to repeat, and is neither a parameter nor a buffer"
        elif may_change:
            why = "its code changes attributes or items, perhaps in a rare branch, and they go with each lane"
        elif functions is None:
            why = failed
        else:
            why = self._compared(functions, first)
            self.differs = bool(why)
        self._attributes.put({})
        looks = (reads.where or "the model") if reads.found else ""
        stateful = stateful or bool(cached) or may_change
        return ModelTraits(why, stateful, varies, unused, notes, looks, frozenset(moved))

    def _moved(self) -> list[str]:
        now = self._model.named_parameters()
        return [name for name, param in now if not same(param.detach(), self._start[name])]

    def _reached_beside(self) -> tuple[str, ...]:
        """What is to be said of tensors that are not the model's parameters and have a gradient all the same.

        Raises:
            InputError: they are those of another model of the same factory.
        """
        self._attributes.put({})
        self._real.load(self._start)
        with seeded(0), torch.enable_grad():
            loss = self._objective.training_loss(self._model, *self._batch, NEUTRAL["label_smoothing"], None)
        reached = {id(leaf) for leaf in leaves_of(loss)}
        if others := [name for name, param in self._other.named_parameters() if id(param) in reached]:
            raise InputError(
                f"model: its forward pass uses {named(others)} of another model that the same function made (by a "
                "global or a closure?): must use its own layers, by self"
            )
        idle = [path for path, tensor in self._attributes.unregistered.items() if id(tensor) in reached]
        if not idle:
            return ()
        return (
            f"{named(idle)} of the model: never trained, by lanes or by any optimizer, for they stand in plain lists "
            "or attributes; put layers into an nn.ModuleList, tensors into an nn.Parameter",
        )

    def _counts(self, first: Passed, changed: dict[str, Plain]) -> bool:
        """Whether what a pass changes counts: it changes again in an equal pass, or makes another one different."""
        again = self.passed()
        if not alike(first, again):
            raise InputError(
                "model: two passes over the same rows, from the same weights, attributes and seeds, give different "
                "results, so that lanes would see each other: it must keep what it changes in its own attributes or "
                "buffers, and draw from the global generators of torch, NumPy or Python"
            )
        if not changed:
            return False
        self.passed(attributes=changed)
        if not same_values(self._attributes.changed(), changed):
            return True
        other = self._another
        return not alike(self.passed(other), self.passed(other, changed))

    def _counts_in_evaluation(self) -> list[str]:
        """What an evaluation changes and another, of other weights and rows, then goes by."""
        self._scored(self._start, self._batch)
        changed = self._attributes.changed()
        if not changed:
            return []
        weights = {n: shaken(tensor, 0.5) if n in self._trained else tensor for n, tensor in self._start.items()}
        other = self._another
        same_scores = close(self._scored(weights, other), self._scored(weights, other, changed))
        return [] if same_scores else list(changed)

    def _scored(self, tensors: dict[str, Tensor], batch: Batch, attributes: dict[str, Plain] | None = None) -> Tensor:
        """Losses of the real module in evaluation mode."""
        self._attributes.put(attributes or {})
        self._real.load(tensors)
        with seeded(0), torch.no_grad():
            return self._real.scores(batch)[0]

    def _changing(self, changed: dict[str, Plain]) -> list[str]:
        self.passed(attributes=changed)
        now = self._attributes.changed()
        again = [path for path in now if path not in changed or not same(now[path], changed[path])]
        return again or list(changed)

    @cached_property
    def _another(self) -> Batch:
        """Another batch: the rows backwards, and of the other sign where the model takes that."""
        x, y = self._batch
        y = None if y is None else y.flip(0)
        backwards = mapped(lambda leaf: leaf.flip(0), x), y
        negated = mapped(lambda leaf: -leaf if leaf.is_floating_point() else leaf, backwards[0]), y
        try:
            self.passed(negated)
        except Exception:
            return backwards
        return negated

    def _unused(self, first: Passed, varies: bool) -> frozenset[str]:
        """Parameters without a gradient, of several passes where they may differ."""
        passes = [first] + ([self.passed(self._another)] if varies else [])
        return frozenset().union(*(self._trained - one.gradients.keys() for one in passes))

    def _different(self, first: Passed) -> list[str]:
        """Attributes that another repeat's model has otherwise, and that make its results others."""
        mine, others = self._attributes.first, Attributes(self._other).first
        found = {
            path: others[path]
            for path, value in mine.items()
            if holds_numbers(value) and path in others and not same(value, others[path])
        }
        return [] if not found or alike(first, self.passed(attributes=found)) else list(found)

    def _compared(self, functions: Functions, first: Passed) -> str:
        """Why functions of the model will not do, or nothing."""
        beyond = "in a way that a copy of the model does not follow (a closure over self, a list, a hook?)"
        refused = ""
        try:
            with seeded(0):
                packable = functions.passed(self._start, self._batch, by_leaves=False)
        except Exception as error:
            where = functions.failing_layer(self._start, self._batch)
            refused = f"torch.func cannot take {where or 'the model'}: {one_line(error).split('. ')[0][:200]}"
            if CAPTURED not in refused:
                return refused
        try:
            with seeded(0):
                mine = functions.passed(self._start, self._batch, by_leaves=True)
        except Exception as error:
            return refused or f"plain autograd cannot take a copy of the model: {one_line(error)[:200]}"
        if names := unreached(first, mine):
            return f"it reaches {named(names)} {beyond}"
        if refused:
            return refused
        if sparse := [name for name, found in packable.gradients.items() if found.layout != torch.strided]:
            return f"the gradients of {named(sparse)} are sparse"
        if not close(first.loss, mine.loss):
            return f"it reaches other layers or tensors {beyond}"
        if names := [name for name, buffer in first.buffers.items() if not close(buffer, mine.buffers[name])]:
            return f"it changes {named(names)} {beyond}"
        with seeded(0):
            theirs = functions.scored(self._start, self._batch)
        fits = close(self._scored(self._start, self._batch), theirs)
        return "" if fits else f"in evaluation it reaches other layers or tensors {beyond}"


def place(inside: list[tuple[str, nn.Module]]) -> str | None:
    """The innermost layer of those that a model is in, or None for one whose lane layer looks at no values."""
    if not inside:
        return ""
    name, layer = inside[-1]
    # Torch's takes the number of batches so far from its buffer.
    if isinstance(layer, BATCH_NORMS) and type(layer) in BATCH_NORMS and layer.track_running_stats:
        return None
    return called(name, layer)


def leaves_of(loss: Tensor) -> list[Tensor]:
    """The leaves that `loss` has a gradient for."""
    found, seen, stack = [], set(), [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        stack.extend(after for after, _ in node.next_functions)
    return found
