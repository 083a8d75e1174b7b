"""What of a model no lane changes, and which of its layers are computed once for all lanes."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping

from torch import Tensor, nn

from lanewise.base.torch_modules import own_buffers, own_parameters
from lanewise.lanes.frozen.calls import Followed, SharedCall, frozen_of

MODES = ("train", "eval", "observe")
"""Training, scoring, and taking batch norm statistics anew."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Kept:
    """What all lanes of a repeat can have one copy of.

    Args:
        model: with the layers that lanes have. moved: names of parameters that a pass itself changes.

    Attributes:
        held: names of tensors. shared: by mode, the calls that are the same for all lanes.
        costly: whether these do more than look up embeddings, so that what they return is worth keeping.
    """

    def __init__(self, model: nn.Module, moved: Collection[str]) -> None:
        self._model = model
        frozen = [name for name, param in model.named_parameters() if not param.requires_grad]
        self.held = tuple(name for name in frozen if name not in moved)
        self.shared: dict[str, tuple[SharedCall, ...]] = dict.fromkeys(MODES, ())
        self.costly = False

    def find(
        self,
        followed: Callable[..., Followed],
        numbers: Collection[str],
        normed: Iterable[str],
        looks: bool,
    ) -> bool:
        """Find buffers that no pass changes, and calls that can be shared; returns whether passes can be followed.

        Args:
            followed: `followed(mode, own=names)` is what a pass shows in which lanes have their own tensors `names`.
            numbers: buffers that the step hands in. normed: batch norms whose statistics are taken anew.
            looks: whether passes look at values, so that others may go other ways.
        """
        norms = {f"{name}.{kind}".lstrip(".") for name in normed for kind in STATISTICS}
        trained = {name for name, param in self._model.named_parameters() if param.requires_grad}
        with contextlib.suppress(Exception):
            own = {one for mode in MODES[:2] for one in followed(mode, own=trained).written} | norms
            buffers = {name for name, _ in self._model.named_buffers()} - {*own, *numbers}
            shared = {mode: self._worth(followed(mode, own=trained | own).calls) for mode in MODES[:2]}
            among = {call.path for call in shared["train"]}
            if among and frozen_of(self._model, shared["eval"]) <= frozen_of(self._model, shared["train"]):
                # The very same calls, so that what they return can be kept for both.
                shared["eval"] = followed("eval", own=trained | own, among=among).calls
            self.held = tuple(name for name in self.held if name not in own)
            if not looks:
                self.held = (*self.held, *sorted(buffers))
                normalises = any(f"{name}.".startswith(f"{call.path}.") for call in shared["eval"] for name in normed)
                self.shared = {**shared, "observe": () if normalises else shared["eval"]}
                layers = [layer for call in self.shared["train"] for layer in self._layers(call)]
                self.costly = any(
                    own_parameters(layer) and not isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) for layer in layers
                )
            return True
        return False

    def _layers(self, call: SharedCall) -> Iterable[nn.Module]:
        return self._model.get_submodule(call.path).modules()

    def _worth(self, calls: tuple[SharedCall, ...]) -> tuple[SharedCall, ...]:
        return calls if frozen_of(self._model, calls) else ()

    def handed_in(self) -> tuple[str, ...]:
        """Those of `held` that a program needs: layers that are given what they return need none."""
        names: dict[int, list[str]] = {}
        for walk in (self._model.named_parameters, self._model.named_buffers):
            for name, tensor in walk(remove_duplicate=False):
                names.setdefault(id(tensor), []).append(name)
        tensors: dict[str, Tensor] = dict([*self._model.named_parameters(), *self._model.named_buffers()])

        def idle(name: str) -> bool:
            return all(
                any(known.startswith(f"{call.path}.") for call in self.shared[mode])
                for mode in MODES
                for known in names[id(tensors[name])]
            )

        return tuple(name for name in self.held if not idle(name))


def put(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Let parameters and buffers of `model` be `tensors`, as far as these have them."""
    for name, param in model.named_parameters():
        if name in tensors:
            param.data = tensors[name]
    modules = dict(model.named_modules())
    for name, _ in list(model.named_buffers()):
        if name in tensors:
            owner, _, key = name.rpartition(".")
            own_buffers(modules[owner])[key] = tensors[name]
