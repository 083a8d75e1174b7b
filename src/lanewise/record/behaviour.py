"""What a model and an objective do on a few rows, as numbers, so that changed code is noticed where weights are alike.

The numbers are compared with a tolerance: other threads or another processor add up in another order. Where the model
and the objective can, they compute in float64, in which that changes nothing that could be taken for a change.
"""

import math
import re
import warnings
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.data.arrays.nested import Inputs, leaves, mapped
from lanewise.task import models
from lanewise.task.outputs import outputs_of, run_model
from lanewise.task.task import Task

ROWS, MORE_ROWS = 4, 32
SMALL_ROW, SMALL_MODEL = 4096, 1_000_000
"""Numbers of a row and of a model up to which `MORE_ROWS` take no time worth mentioning."""
MOST_OUTPUTS = 1_000_000
"""Numbers that a metric is tried on, at most."""
LARGE = 100.0
"""What inputs are multiplied by so that an activation comes to its limits: a clamp would not show otherwise."""
MOST_REPR = 20_000
"""Characters of a model's description that are kept."""
TOLERANCE = {"float64": 1e-6, "float32": 1e-2}
"""Relative; rounding alone comes to 1e-12 and, through batch norm over few rows, 1e-3."""
TYPES = (torch.float64, torch.float32)


def behaviour(task: Task) -> dict[str, Any]:
    """What the model of `task` is, and what it does with the weights of one seed; None where that is not steady.

    Outputs in evaluation mode, losses and scores of rows, the training loss, and the norm and one projection of the
    gradient of each parameter.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A line that numbers the models made so far, say, does not depend on the code.
        texts = [described(task.new_model(0)) for _ in range(2)]
        text = [line if line == again else "" for line, again in zip(*texts, strict=False)]
        if not task.source.rows.replayable:
            # Rows that may be others in another process tell nothing of the code.
            return {"is": text, "type": None, "does": None}
        for dtype in TYPES:
            try:
                first, second = measured(task, dtype), measured(task, dtype)
            except Exception:  # Whatever a user's code raises; the run itself says what it cannot do.
                continue
            name = str(dtype).removeprefix("torch.")
            same = changed(first, second, TOLERANCE[name]) is None
            return {"is": text, "type": name, "does": first if same else None}
    return {"is": text, "type": None, "does": None}


def described(model: nn.Module) -> list[str]:
    """The lines of a model's description, then all parameters and buffers, without addresses in memory."""
    lines = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(model))[:MOST_REPR].splitlines()
    named: list[tuple[str, str, Tensor]] = []
    named += [("parameter", *one) for one in model.named_parameters(remove_duplicate=False)]
    named += [("buffer", *one) for one in model.named_buffers(remove_duplicate=False)]
    for kind, name, tensor in named:
        fixed = ", fixed" if kind == "parameter" and not tensor.requires_grad else ""
        lines.append(f"{kind} {name} {list(tensor.shape)}{fixed}")
    return lines


def measured(task: Task, dtype: torch.dtype) -> dict[str, list[float]]:
    """The numbers by name."""
    inputs, targets = rows_of(task, ROWS, dtype)
    found: dict[str, list[float]] = {}
    model = task.new_model(0, dtype)
    buffers = [(name, one) for name, one in model.named_buffers() if one.is_floating_point()]
    found |= {f"buffer {name}": summary(one) for name, one in buffers}
    with models.seeded(1), torch.no_grad():
        model.eval()
        if task.objective.name != "custom":
            found["outputs"] = [number for leaf in tensors(run_model(model, inputs)) for number in summary(leaf)]
        losses, scores = task.objective.scores(model, inputs, targets)
        found |= {"losses of rows": losses.flatten().tolist(), "scores of rows": scores.flatten().tolist()}
    if dtype == torch.float64:
        # In float32 rounding could decide which of two classes is the first.
        found |= in_more_cases(task, model)
    with models.seeded(2), torch.enable_grad():
        model.train()
        loss = task.objective.training_loss(model, inputs, targets, 0.0)
        found["training loss"] = [float(loss.detach())]
        loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"gradient of {name}"] = summary(parameter.grad.to_dense())
    return found


def in_more_cases(task: Task, model: nn.Module) -> dict[str, list[float]]:
    """Outputs for large inputs, and losses and scores of more rows: a metric may be 0 in all of a few."""
    with models.seeded(3), torch.no_grad():
        model.eval()
        inputs, targets = rows_of(task, ROWS, torch.float64)
        size = sum(leaf[0].numel() for leaf in leaves(inputs))
        small = size <= SMALL_ROW and sum(one.numel() for one in model.parameters()) <= SMALL_MODEL
        found: dict[str, list[float]] = {}
        large = mapped(lambda leaf: leaf * LARGE if leaf.is_floating_point() else leaf, inputs)
        losses, _ = task.objective.scores(model, large, targets)
        found["losses for large inputs"] = summary(losses)
        if not small:
            return found
        inputs, targets = rows_of(task, MORE_ROWS, torch.float64)
        losses, scores = task.objective.scores(model, inputs, targets)
        found["losses of more rows"] = summary(losses)
        found["scores of more rows"] = scores.flatten().tolist()
        if task.objective.name == "custom" or not isinstance(targets, Tensor) or not task.objective.by_row:
            return found
        # Each output beside other rows' targets too, so that every class is found somewhere and missed elsewhere.
        outputs = task.objective.fitted(outputs_of(model, inputs), targets)
        times = max(1, min(len(targets), MOST_OUTPUTS // max(outputs.numel(), 1)))
        moved = torch.cat([targets.roll(by, 0) for by in range(times)])
        scores = task.objective.metric.function(outputs.repeat(times, *[1] * (outputs.dim() - 1)), moved)
        return found | {"scores beside the targets of other rows": summary(scores)}


def rows_of(task: Task, rows: int, dtype: torch.dtype) -> tuple[Inputs, Any]:
    """(inputs, targets) of the first rows, floating numbers in `dtype`."""
    with models.seeded(0):
        inputs, targets = task.sample(rows)
    if isinstance(targets, Tensor) and targets.is_floating_point():
        targets = targets.to(dtype)
    return mapped(lambda leaf: scaled(leaf, dtype), inputs), targets


def scaled(leaf: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers brought into [-1, 1], where no activation is at its limits; whole numbers as they are."""
    if not leaf.is_floating_point():
        return leaf
    leaf = leaf.to(dtype)
    return leaf / leaf.abs().max().clamp(min=1.0)


def tensors(found: Any) -> list[Tensor]:
    """All tensors in a model's output."""
    if isinstance(found, Mapping):
        return [leaf for one in found.values() for leaf in tensors(one)]
    if isinstance(found, (tuple, list)):
        return [leaf for one in found for leaf in tensors(one)]
    return [found] if isinstance(found, Tensor) else []


def summary(tensor: Tensor) -> list[float]:
    """(norm, a projection) of a tensor."""
    flat = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
    flat = flat.double().flatten()
    weights = torch.cos(torch.arange(len(flat), dtype=torch.float64))
    return [float(flat.norm()), float((flat * weights).sum())]


def changed(known: Mapping[str, list[float]], found: Mapping[str, list[float]], tolerance: float) -> str | None:
    """The first of the numbers `known` that `found` does not have, by name; None if all are alike."""
    for name in {**known, **found}:
        if name not in known or name not in found or len(known[name]) != len(found[name]):
            return name
        sizes = [abs(value) for value in known[name] if math.isfinite(value)]
        # A gradient that is zero but for rounding is not measured by itself.
        room = tolerance * max([1e-3, *sizes])
        for one, other in zip(known[name], found[name], strict=True):
            if math.isfinite(one) != math.isfinite(other) or abs(one - other) > room:
                return name
    return None


def difference(recorded: Mapping[str, Any] | None, task: Task, same_torch: bool = True) -> str | None:
    """What is no longer as `behaviour` found it, for a message; None if nothing is, or nothing was recorded.

    Args:
        same_torch: whether its version is the same; another may describe the same layers in other words.
    """
    if not recorded:
        return None
    found = behaviour(task)
    for was, now in zip_longest(recorded["is"], found["is"]) if same_torch else ():
        if was != now and was != "" and now != "":
            return f"{_quoted(was)} is {_quoted(now)} now"
    if recorded["does"] is None:
        return None
    if found["does"] is None or recorded["type"] != found["type"]:
        # Another torch may compute in other types.
        return f"in {recorded['type']} they fail now, or give other numbers each time" if same_torch else None
    name = changed(recorded["does"], found["does"], TOLERANCE[recorded["type"]])
    return name and f"on the same rows, {name} came out differently"


def _quoted(line: str | None) -> str:
    return "nothing" if line is None else repr(line.strip()[:100])
