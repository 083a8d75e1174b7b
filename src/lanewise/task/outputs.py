"""What a model returns, be it a dict, tuple or dataclass, as the one tensor that losses and metrics take."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from lanewise.data.arrays.nested import Inputs
from lanewise.data.arrays.targets import IGNORED
from lanewise.errors import InputError, a_type

SCORES = "logits"
"""What Transformers calls the scores."""
LABELS, LOSS = "labels", "loss"
"""What it calls the targets among a model's inputs, and the loss that the model then returns."""


def run_model(model: Callable[..., Any], inputs: Inputs) -> Any:
    """What `model` makes of `inputs`: a tuple is its arguments in order, a dict its named ones."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def named(returned: Any) -> dict[str, Any]:
    """The parts of what a model returned, by what they are called in messages.

    >>> list(named((1, 2))), list(named({"logits": 1}))
    (['[0]', '[1]'], ["['logits']"])
    """
    if isinstance(returned, Mapping) and not is_dataclass(returned):
        return {f"[{name!r}]": part for name, part in returned.items()}
    if is_dataclass(returned) and not isinstance(returned, type):
        return {f".{item.name}": getattr(returned, item.name) for item in fields(returned)}
    if isinstance(returned, tuple) and hasattr(returned, "_fields"):
        return {f".{name}": part for name, part in zip(returned._fields, returned, strict=True)}
    if isinstance(returned, (tuple, list)):
        return {f"[{place}]": part for place, part in enumerate(returned)}
    return {f".{SCORES}": getattr(returned, SCORES)} if isinstance(getattr(returned, SCORES, None), Tensor) else {}


def chosen(returned: Any) -> tuple[str, Any]:
    """(which part, the part) of what a model returned that holds its scores: "" and all of it where it is a tensor.

    The part called `logits`, else the first tensor that has rows and is not called `loss`; all of it where there is
    none.

    >>> import torch
    >>> chosen({"loss": torch.tensor(1.0), "logits": torch.zeros(2)}), chosen((torch.tensor(1.0), torch.ones(2)))
    (("['logits']", tensor([0., 0.])), ('[1]', tensor([1., 1.])))
    """
    if isinstance(returned, Tensor):
        return "", returned
    parts = {name: part for name, part in named(returned).items() if isinstance(part, Tensor) and part.ndim}
    for name in (f".{SCORES}", f"[{SCORES!r}]"):
        if name in parts:
            return name, parts[name]
    losses = (f".{LOSS}", f"[{LOSS!r}]")
    return next(((name, part) for name, part in parts.items() if name not in losses), ("", returned))


def outputs_of(model: Callable[..., Any], inputs: Inputs) -> Any:
    """The scores that `model` makes of `inputs`, see `chosen`."""
    returned = run_model(model, inputs)
    return returned if isinstance(returned, Tensor) else chosen(returned)[1]


def own_loss(model: Callable[..., Any], batch: Inputs) -> Any:
    """The objective of a model that computes its loss itself, from the `labels` among its inputs.

    Returns:
        The loss, 0-d, or (loss, {"accuracy": ...}) where the labels are one class a row.
    """
    returned = run_model(model, batch)
    parts = named(returned)
    loss = next((parts[name] for name in (f".{LOSS}", f"[{LOSS!r}]", "[0]") if name in parts), None)
    if not isinstance(loss, Tensor) or loss.ndim:
        raise InputError(
            f"model returns {a_type(returned)} without a 0-d {LOSS}, though {LABELS!r} is among its inputs; "
            "give the labels as targets, (x, y), or an objective"
        )
    scores, labels = chosen(returned)[1], batch[LABELS]
    if isinstance(scores, Tensor) and scores.ndim == 2 and labels.ndim == 1 and not labels.is_floating_point():
        counted = (labels != IGNORED).to(scores.dtype)
        right = (scores.argmax(-1) == labels).to(scores.dtype)
        return loss, {"accuracy": (right * counted).sum() / counted.sum().clamp(min=1)}
    return loss
