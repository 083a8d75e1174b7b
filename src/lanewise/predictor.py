"""A trained model as one file: weights as safetensors, with all that its predictions need in the header."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lanewise import models
from lanewise.data import Standardise, TargetScale
from lanewise.data.nested import Inputs, leaves, mapped, rebuilt
from lanewise.errors import InputError, one_line
from lanewise.files import write_whole
from lanewise.lanes.adapt import adapted
from lanewise.outputs import LABELS, outputs_of
from lanewise.parts.reals import has_mean, real_type
from lanewise.recipe_file import dump
from lanewise.recipe_file import load as load_recipe
from lanewise.train import Trained
from lanewise.weights import restore, stored

FORMAT = "1"
INDEX = "lanewise"
"""The key of the header under which everything but the weights stands, as JSON."""


class Predictor:
    """A trained model that takes inputs as they are stored, and gives numbers in the unit of the data.

    Attributes:
        model: in evaluation mode; it takes standardised inputs. scale: of the inputs. target_scale: of numeric
            targets, or None.
    """

    def __init__(self, model: nn.Module, scale: Standardise, target_scale: TargetScale | None) -> None:
        self.model, self.scale, self.target_scale = model.eval(), scale, target_scale

    def __repr__(self) -> str:
        unit = "" if self.target_scale is None else "; numbers in the unit of the data"
        return f"Predictor({models.describe(self.model)}{unit})"

    @torch.no_grad()
    def __call__(self, x: Inputs) -> Any:
        """What the model makes of `x`, nested as in training, each array or tensor [rows, ...].

        Raises:
            InputError: rows of another shape than those trained on.
        """
        scale = self.scale
        if isinstance(x, Mapping) and isinstance(scale.mean, dict) and LABELS not in x:
            # What a model computes its own loss from is no part of new rows.
            scale = Standardise(*({n: v for n, v in part.items() if n != LABELS} for part in (scale.mean, scale.std)))
        tensors = mapped(lambda leaf: leaf if isinstance(leaf, Tensor) else torch.from_numpy(np.asarray(leaf)), x)
        outputs = outputs_of(self.model, scale.apply(tensors, real_type(next(self.model.parameters()).dtype)))
        if self.target_scale is None:
            return outputs
        return self.target_scale.invert(outputs.reshape(len(outputs), *self.target_scale.mean.shape))


def save_model(trained: Trained, path: str | os.PathLike[str]) -> None:
    """Write the weights of `trained`, its recipe, and the statistics that its inputs are standardised by.

    The weights have the names of the model's `state_dict`, so that anything that reads safetensors can use them; a
    recipe that changes the model's normalisation changes the names, see `load_model`. Buffers that are not persistent
    stand beside them under their own names.

    Raises:
        InputError: the model cannot be saved, see `lanewise.weights.stored`.
    """
    weights, rest = stored(trained.model)
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
    }
    write_whole(Path(path), safetensors.torch.save(weights, {INDEX: json.dumps(index)}))


def load_model(path: str | os.PathLike[str], model: Callable[..., nn.Module]) -> Predictor:
    """The model that `lanewise train --save` wrote.

    Args:
        model: the function that makes a new one, as given to the race; it is called with the recipe's width if that has
            one, and the recipe's normalisation is put into it.

    Raises:
        InputError: no such file, another format, or weights that do not fit the model.
    """
    where = f"model file {os.fspath(path)}"
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        index = json.loads(header[INDEX])
        recipe, _ = load_recipe(index["recipe"], where)
        inputs, targets = index["inputs"], index["targets"]
        rest = dict(index.get("model_state", {}))
        weight_seed = int(rest.pop("seed", 0))
        shapes = zip(inputs["shapes"], inputs["types"], strict=True)
        example = rebuilt(like(inputs["kind"]), [torch.zeros(2, *s, dtype=getattr(torch, t)) for s, t in shapes])
        scale = Standardise(*(statistics(example, inputs[name]) for name in ("mean", "std")))
        of_targets = [torch.tensor((targets or {}).get(name, 0.0), dtype=torch.float64) for name in ("mean", "std")]
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{where}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise InputError(f"{where}: is none that lanewise train --save wrote ({one_line(error)})") from error
    # What a model draws when it is made, and keeps in no tensor of its state, it draws as it did for training.
    with models.seeded(weight_seed):
        made = models.call(getattr(model, "__name__", type(model).__name__), model, recipe.width)
    changed = adapted(made, recipe, example)
    kinds = {real_type(tensor.dtype) for tensor in weights.values() if has_mean(tensor)}
    try:
        restore(models.converted(changed, max(kinds, key=lambda kind: kind.itemsize)), weights, rest)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{where}: its weights do not fit the model: {one_line(error)}") from error
    return Predictor(changed, scale, TargetScale(*of_targets) if targets else None)


def kind_of(nested: Inputs) -> Any:
    """`one`, a number of tensors in order, or their names."""
    return list(nested) if isinstance(nested, dict) else len(nested) if isinstance(nested, tuple) else "one"


def like(kind: Any) -> Any:
    """Something that is nested as `kind_of` says."""
    return dict.fromkeys(kind, torch.empty(0)) if isinstance(kind, list) else one_or_several(kind)


def one_or_several(kind: Any) -> Any:
    """A tensor, or as many of them as `kind` says."""
    return torch.empty(0) if kind == "one" else (torch.empty(0),) * int(kind)


def plain(nested: Any) -> list[Any]:
    """Statistics of every input as nested lists; None for tokens."""
    parts = nested.values() if isinstance(nested, dict) else nested if isinstance(nested, tuple) else [nested]
    return [None if part is None else part.tolist() for part in parts]


def statistics(example: Inputs, values: list[Any]) -> Any:
    """What `plain` made lists of."""
    return rebuilt(example, [None if value is None else torch.tensor(value, dtype=torch.float64) for value in values])
