"""A trained model as one file: weights as safetensors, with all that its predictions need in the header."""

import json
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lanewise.base.files import write_whole
from lanewise.base.plain_data import several, whole
from lanewise.data import Standardise, TargetScale
from lanewise.data.arrays.checks import shared_tensor
from lanewise.data.arrays.nested import Inputs, leaves, mapped, rebuilt, shapes
from lanewise.data.encoding.schema import TableSchema, texts
from lanewise.data.source.standardise import is_tokens
from lanewise.data.tables import new_rows
from lanewise.errors import InputError, a_type, check_path, one_line
from lanewise.lanes.attributes.attributes import Attributes
from lanewise.lanes.attributes.plain_values import packed, unpacked
from lanewise.lanes.model.adapt import adapted
from lanewise.parts.reals import has_mean, real_type
from lanewise.recipe.file import dump
from lanewise.recipe.file import load as load_recipe
from lanewise.task import models
from lanewise.task.libraries import Fit, build_from_library, is_from_library
from lanewise.task.outputs import LABELS, outputs_of
from lanewise.task.weights import restore, stored
from lanewise.train import TrainedModel

FORMAT = "1"
INDEX = "lanewise"
"""The key of the header under which everything but the weights stands, as JSON."""
ATTRIBUTES = "lanewise.attributes"
"""The name of the tensor that holds the model's plain attributes, where training changed some."""
MOST_NUMBERS = 2**31
"""In one row of inputs."""


class Predictor:
    """A trained model that takes inputs as they are stored, and gives numbers in the unit of the data.

    Attributes:
        model: in evaluation mode; it takes standardised inputs. scale: of the inputs. target_scale: of numeric
            targets, or None.
        classes: the names of class 0, 1, ..., or None where they had none. schema: how the columns of a table become
            inputs, or None where it was trained on none. notes: of the last table, what users should know.
    """

    def __init__(
        self,
        model: nn.Module,
        scale: Standardise,
        target_scale: TargetScale | None,
        classes: tuple[str, ...] | None = None,
        schema: TableSchema | None = None,
    ) -> None:
        self.model, self.scale, self.target_scale = model.eval(), scale, target_scale
        self.classes, self.schema = classes, schema
        self.notes: tuple[str, ...] = ()

    def encode(self, x: Any) -> Inputs:
        """The rows of a table as the inputs that training had, not standardised; columns are taken by their names.

        A category that training had not is 0 in all its features, and a warning counts them.

        Args:
            x: the path of a table, a DataFrame, or a dict of columns.

        Raises:
            InputError: a column that is missing or holds something else than in training; a model of no table.
        """
        return self._encoded(x, 3)

    def _encoded(self, x: Any, level: int) -> Tensor:
        """As `encode`; warnings point at the caller that many frames away."""
        if self.schema is None:
            raise InputError("predict: the model was not trained on a table; give arrays as those it was trained on")
        found = new_rows.encode(self.schema, x)
        self.notes = (*found.notes, *found.unseen)
        for line in found.unseen:
            warnings.warn(line, stacklevel=level)
        return found.x

    def __repr__(self) -> str:
        unit = "" if self.target_scale is None else "; numbers in the unit of the data"
        return f"Predictor({models.describe(self.model)}{unit})"

    @torch.no_grad()
    def __call__(self, x: Any) -> Any:
        """What the model makes of `x`.

        Args:
            x: inputs nested as in training, each array or tensor [rows, ...]; or, of a model trained on a table, what
                `encode` takes.

        Raises:
            InputError: rows of another shape than those trained on.
        """
        if new_rows.is_new_table(x) and (self.schema is not None or not isinstance(x, Mapping)):
            # The decorator is a frame of its own.
            x = self._encoded(x, 4)
        scale = self.scale
        if isinstance(x, Mapping) and isinstance(scale.mean, dict) and LABELS not in x:
            # What a model computes its own loss from is no part of new rows.
            scale = Standardise(*({n: v for n, v in part.items() if n != LABELS} for part in (scale.mean, scale.std)))
        tensors = mapped(self._tensor, x)
        scaled = scale.apply(tensors, real_type(next(self.model.parameters()).dtype))
        try:
            outputs = outputs_of(self.model, scaled)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise InputError(f"predict: the model fails on inputs {shapes(tensors)}: {one_line(error)}") from error
        if self.target_scale is None:
            return outputs
        if not len(outputs):
            return outputs.reshape(0, *self.target_scale.mean.shape)
        return self.target_scale.invert(outputs.reshape(len(outputs), *self.target_scale.mean.shape))

    def _tensor(self, x: Any) -> Tensor:
        """One array of the inputs."""
        if isinstance(x, Tensor):
            return x
        try:
            return shared_tensor(np.asarray(x))
        except (TypeError, ValueError) as error:
            also = "" if self.schema is None else ", or a table: a path, a DataFrame or a dict of columns"
            raise InputError(f"predict: x is {a_type(x)}: must be an array of numbers{also}") from error

    def labels(self, x: Any) -> list[str]:
        """The name of the likeliest class of every row of `x`, or its number in words where classes have no names.

        Raises:
            InputError: as calling it does; a model of numbers.
        """
        outputs = self(x)
        if self.target_scale is not None:
            raise InputError("labels: the model gives numbers, no classes")
        return [str(name) for name in self.named(outputs)]

    def named(self, outputs: Any) -> list[Any]:
        """What every row of `outputs` says: the name of the likeliest class (its number without names), or the number.

        Raises:
            InputError: outputs of another kind.
        """
        if isinstance(outputs, Tensor) and self.target_scale is not None and outputs.ndim == 1:
            return list(outputs.tolist())
        if self.target_scale is not None or not isinstance(outputs, Tensor) or outputs.ndim != 2:
            raise InputError("predict: the model gives neither classes nor one number a row")
        numbers = outputs.argmax(1).tolist()
        return numbers if self.classes is None else [self.classes[number] for number in numbers]


def save_model(trained: TrainedModel, path: str | os.PathLike[str]) -> None:
    """Write the weights of `trained`, its recipe, and the statistics that its inputs are standardised by.

    The weights have the names of the model's `state_dict`, so that anything that reads safetensors can use them; a
    recipe that changes the model's normalisation changes the names, see `load_model`. Buffers that are not persistent
    stand beside them under their own names, and what training changed of its plain attributes under `ATTRIBUTES`; a
    warning says where that cannot be saved.

    Raises:
        InputError: the model cannot be saved, see `lanewise.task.weights.stored`.
    """
    weights, rest = stored(trained.model)
    if trained.attributes:
        weights[ATTRIBUTES] = packed(trained.attributes)
    elif trained.attributes is None:
        warnings.warn(
            "training changed attributes of the model to something that cannot be saved; the file holds weights and "
            "buffers alone",
            stacklevel=2,
        )
    target = trained.target_scale
    index = {
        "format": FORMAT,
        "recipe": dump(trained.recipe),
        "inputs": {
            "kind": kind_of(trained.example),
            "shapes": [list(leaf.shape[1:]) for leaf in leaves(trained.example)],
            "types": [str(leaf.dtype).removeprefix("torch.") for leaf in leaves(trained.example)],
            "mean": plain(trained.scale.mean),
            "std": plain(trained.scale.std),
        },
        "model_state": {"seed": trained.weight_seed, **rest},
        "targets": None if target is None else {"mean": target.mean.tolist(), "std": target.std.tolist()},
        "classes": None if trained.class_names is None else list(trained.class_names),
        "table": None if trained.schema is None else trained.schema.to_dict(),
        "model": trained.model_name,
        "outputs": trained.classes or (1 if target is None else target.mean.numel()),
    }
    write_whole(Path(path), safetensors.torch.save(weights, {INDEX: json.dumps(index)}))


def load_model(path: str | os.PathLike[str], model: str | Callable[..., nn.Module] | None = None) -> Predictor:
    """The model that `lanewise train --save` wrote.

    Args:
        model: the function that makes a new one, as given to the race, or its name; it is called with the recipe's
            width and rank if that has them, and the recipe's normalisation is put into it. May be left out where it is
            built in.

    Raises:
        InputError: no such file, another format, or weights that do not fit the model.
    """
    check_path("path", path)
    where = f"model file {os.fspath(path)}"
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        attributes = weights.pop(ATTRIBUTES, None)
        size = sum(tensor.numel() for tensor in weights.values())
        index = json.loads(header[INDEX])
        recipe, _ = load_recipe(index["recipe"], where)
        for name, given in recipe.sizes.items():
            whole(name, given, 1, size)
        inputs, targets = index["inputs"], index["targets"]
        rest = dict(index.get("model_state", {}))
        weight_seed = whole("seed", rest.pop("seed", 0), 0, 2**64 - 1)
        example = example_of(inputs)
        scale = scale_of(example, inputs)
        classes = None if index.get("classes") is None else texts(index["classes"])
        schema = None if index.get("table") is None else TableSchema.from_dict(index["table"])
        if schema is not None and len(schema.features) != leaves(example)[0].shape[-1]:
            raise ValueError(f"{len(schema.features)} features of columns for inputs {inputs['shapes']}")
        model = factory_of(where, model, index, example, size)
        target_scale = None if targets is None else TargetScale(*scales(targets["mean"], targets["std"]))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{where}: no such file") from None
    except MemoryError:
        raise InputError(f"{where}: is damaged: it needs more memory than there is") from None
    except Exception as error:  # What a damaged header makes of the code that reads it cannot be foreseen.
        raise InputError(f"{where}: was not written by lanewise train --save ({one_line(error)})") from error
    # What a model draws when it is made, and keeps in no tensor of its state, it draws as it did for training.
    with models.seeded(weight_seed):
        made = models.call(getattr(model, "__name__", type(model).__name__), model, **recipe.sizes)
    changed = adapted(made, recipe, example)
    kinds = {real_type(tensor.dtype) for tensor in weights.values() if has_mean(tensor)}
    try:
        restore(models.converted(changed, max(kinds, key=lambda kind: kind.itemsize)), weights, rest)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{where}: its weights do not fit the model: {one_line(error)}") from error
    if attributes is not None:
        try:
            Attributes(changed).put(unpacked(attributes))
        except Exception as error:  # as above
            raise InputError(f"{where}: its attributes do not fit the model: {one_line(error)}") from error
    return Predictor(changed, scale, target_scale, classes, schema)


def factory_of(
    where: str, model: Any, index: Mapping[str, Any], example: Inputs, size: int
) -> Callable[..., nn.Module]:
    """The function that makes the model: the one given, that of the name given, or that of a built-in on record.

    Args:
        size: numbers in the file's tensors: no layer can be wider.
    """
    if model is not None and not isinstance(model, str):
        made: Callable[..., nn.Module] = model
        return made
    name = index.get("model") if model is None else model
    if model is None and (not isinstance(name, str) or name.partition(":")[0] not in models.BUILT_IN):
        raise InputError(
            f"{where}: its model is your own; give the function that makes it, or its name: module:factory"
        )
    if model is None:
        for digits in re.findall(r"\d+", str(name)):
            whole("width", int(digits), 0, size)
    outputs = whole("outputs", index.get("outputs", 1), 1, size)
    shape = tuple(leaves(example)[0].shape[1:])
    if is_from_library(str(name)):
        kind = "number" if index.get("targets") else "class" if index.get("outputs", 1) > 1 else "tokens"
        return build_from_library(str(name), Fit(shape, is_tokens(leaves(example)[0]), outputs, kind))
    return models.build(str(name), shape, outputs)


def kind_of(nested: Inputs) -> Any:
    """`one`, a number of tensors in order, or their names."""
    return list(nested) if isinstance(nested, dict) else len(nested) if isinstance(nested, tuple) else "one"


def example_of(inputs: Mapping[str, Any]) -> Inputs:
    """Two rows of inputs of the shapes and types on record, nested as `kind_of` says; they take no memory.

    Raises:
        TypeError, ValueError: there can be no such inputs.
    """
    kind, sized, types = inputs["kind"], several("shapes", inputs["shapes"]), several("types", inputs["types"])
    names = len(kind) if isinstance(kind, list) else 1 if kind == "one" else whole("kind", kind, 0)
    if not len(sized) == len(types) == names:
        raise ValueError(f"kind = {kind!r}: must be of {len(sized)} inputs")
    made = []
    for shape, name in zip(sized, types, strict=True):
        sizes = [whole("shape", length, 0, MOST_NUMBERS) for length in several("shape", shape)]
        dtype = getattr(torch, str(name), None)
        if math.prod(sizes) > MOST_NUMBERS or not isinstance(dtype, torch.dtype):
            raise ValueError(
                f"input of {name!r} {sizes}: must be of a type of torch, and at most {MOST_NUMBERS} numbers"
            )
        made.append(torch.zeros((), dtype=dtype).expand(2, *sizes))
    if isinstance(kind, list):
        return dict(zip(texts(kind), made, strict=True))
    return made[0] if kind == "one" else tuple(made)


def plain(nested: Any) -> list[Any]:
    """Statistics of every input as nested lists; None for tokens."""
    parts = nested.values() if isinstance(nested, dict) else nested if isinstance(nested, tuple) else [nested]
    return [None if part is None else part.tolist() for part in parts]


def scale_of(example: Inputs, inputs: Mapping[str, Any]) -> Standardise:
    """What `plain` made lists of; `TypeError` or `ValueError` where it does not fit the inputs."""
    parts = leaves(example)
    means, stds = (several(name, inputs[name], len(parts)) for name in ("mean", "std"))
    pairs = [
        (None, None) if mean is None and std is None else scales(mean, std)
        for mean, std in zip(means, stds, strict=True)
    ]
    for leaf, (mean, _) in zip(parts, pairs, strict=True):
        if mean is not None and mean.expand(leaf.shape[1:]).shape != leaf.shape[1:]:
            raise ValueError(f"mean: has shape {list(mean.shape)} for inputs {list(leaf.shape[1:])}")
    return Standardise(*(rebuilt(example, [pair[which] for pair in pairs]) for which in (0, 1)))


def scales(mean: Any, std: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation as tensors; `ValueError` where they can be none."""
    found = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    if found[0].shape != found[1].shape or not all(one.isfinite().all() for one in found) or not (found[1] > 0).all():
        raise ValueError("mean and std: must be finite numbers of one shape, and the std above 0")
    return found
