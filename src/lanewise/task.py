"""The task: what is learnt (model), from what (data), and what counts (objective)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from lanewise import models
from lanewise.data import BUILT_IN, Source, load
from lanewise.errors import InputError
from lanewise.parts.smoothing import smoothed_cross_entropy


@dataclass(frozen=True)
class Classification:
    """Cross entropy as the loss, accuracy as the metric."""

    metric: str = "accuracy"
    greater_is_better: bool = True

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: Tensor | float) -> Tensor:
        """Mean cross entropy of `outputs` [rows, classes] against `targets` [rows], a 0-d tensor."""
        return smoothed_cross_entropy(outputs, targets, label_smoothing)

    def row_scores(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(cross entropy, 1 where the largest output is the target else 0), one of each a row, without smoothing."""
        losses = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
        return losses, (outputs.argmax(-1) == targets).to(losses.dtype)


class Task:
    """A model, its data and the objective.

    Args:
        model: built-in name (`mlp`, `mlp:256,256`, `cnn`, `cnn:32,64`), `package.module:factory`, or a function
            that returns a new `nn.Module`; it is called without arguments after the global
            generators of torch, NumPy and Python are seeded.
        data: whatever `lanewise.data.load` takes: `"digits"`, a path, or arrays `(x, y)`.

    Raises:
        InputError: unknown names, unusable data, or a model whose output does not match the classes.
    """

    def __init__(self, model: str | Callable[[], nn.Module], data: Any) -> None:
        self.source: Source = load(data)
        self.objective = Classification()
        if isinstance(model, nn.Module):
            raise InputError(
                "model: is a module already; give a function that returns a new one, so that every repeat "
                "can start from weights of its own"
            )
        if isinstance(model, str):
            self.factory = models.build(model, self.source.input_shape, self.source.classes)
        elif callable(model):
            name = getattr(model, "__name__", type(model).__name__)
            self.factory = lambda: models.call(name, model)
        else:
            raise InputError(f"model: {model!r} is neither a name nor a function that returns a torch.nn.Module")
        built_in = isinstance(model, str) and model.partition(":")[0] in models.BUILT_IN
        self.model_name = model if isinstance(model, str) else getattr(model, "__name__", type(model).__name__)
        self.names = {"data": self.source.name} if self.source.name in BUILT_IN else {}
        if built_in:
            self.names["model"] = str(model)

    def new_model(self, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A new model with the initial weights that follow from `seed`; all generators are left as they were."""
        with models.seeded(seed):
            return self.factory().to(dtype)

    def check_model(self) -> str:
        """Build the model once and raise `InputError` unless its output fits the classes; returns its description."""
        model = self.new_model(0)
        if any(isinstance(module, LazyModuleMixin) for module in model.modules()):
            raise InputError("model: has lazy layers; run it once on an input before it is returned")
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError("model: has no parameter that trains")
        sample = self.source.x[:2].to(torch.float32)
        models.check_output(model, sample, self.source.classes)
        return models.describe(model)


def check_recorded(names: Mapping[str, str], where: str) -> None:
    """Raise `InputError` unless the task that the recipe file `where` names is built in: files import no code."""
    data, model = names.get("data"), names.get("model")
    if data is not None and data not in BUILT_IN:
        raise InputError(
            f"{where}: task: data {data!r}: must be built in ({', '.join(BUILT_IN)}); give others with --data"
        )
    if model is not None and model.partition(":")[0] not in models.BUILT_IN:
        allowed = ", ".join(models.BUILT_IN)
        raise InputError(f"{where}: task: model {model!r}: must be built in ({allowed}); give your own with --model")
