"""What a model holds, as a file of safetensors can: its tensors by name, and plain data beside them.

Beside what `state_dict` gives are the buffers that it leaves out (`persistent=False`): a model may have drawn them.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import is_persistent, own_buffers
from lanewise.errors import InputError, a_type, one_line
from lanewise.task.models import passing_buffers

HEADER_BYTES = 2**20
"""Room beside the weights that a file is taken to need."""


def stored(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors by name, each in a piece of memory of its own; plain data) that `restore` makes the same model of.

    Raises:
        InputError: extra state (`get_extra_state`) that is neither a tensor nor plain data, or a tensor of a kind that
            no file of safetensors holds.

    >>> tensors, rest = stored(nn.Linear(2, 1))
    >>> sorted(tensors), rest
    (['bias', 'weight'], {})
    """
    try:
        state = dict(model.state_dict())
    except Exception as error:
        raise InputError(f"save: the model's state_dict() raised {one_line(error)}") from error
    passing = passing_buffers(model)
    extra = {name: value for name, value in state.items() if not isinstance(value, Tensor)}
    for name, value in extra.items():
        if not is_plain(value):
            raise InputError(
                f"save: {name}: get_extra_state() gives {a_type(value)}; must be a tensor or plain data "
                "(numbers, text, lists, dicts with text as keys) for the model to be saved"
            )
    # Two names may stand for one tensor, and a tensor may lie in memory by columns: the format has neither.
    tensors = {name: of_file(name, value) for name, value in {**state, **passing}.items() if name not in extra}
    doubles = [name for name, value in tensors.items() if value.dtype == torch.complex128]
    rest = {"buffers": list(passing), "extra": extra, "complex128": doubles}
    tensors |= {name: torch.view_as_real(tensors[name]) for name in doubles}
    return tensors, {name: value for name, value in rest.items() if value}


def of_file(name: str, value: Tensor) -> Tensor:
    """A copy of `value` as a file holds it; `InputError` where none can."""
    wanted = "a dense tensor of numbers"
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        kind = "on the device meta" if value.is_meta else "quantized" if value.is_quantized else str(value.layout)
        raise InputError(f"save: {name} is {kind}: must be {wanted} for the model to be saved")
    try:
        safetensors.torch.save({name: torch.empty(0, dtype=of_two_reals(value.dtype))})
    except (KeyError, ValueError):
        raise InputError(f"save: {name} is of {value.dtype}, which no file of safetensors holds") from None
    return value.detach().cpu().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)


def of_two_reals(dtype: torch.dtype) -> torch.dtype:
    """The type that numbers of `dtype` are written in: safetensors knows complex numbers of two float32 alone."""
    return torch.float64 if dtype == torch.complex128 else dtype


def is_plain(value: Any) -> bool:
    """Whether JSON gives `value` back as it is.

    >>> is_plain({"a": [1, None]}), is_plain({"a": (1, 2)}), is_plain({1: "a"})
    (True, False, False)
    """
    try:
        return bool(exactly(json.loads(json.dumps(value, allow_nan=False)), value))
    except (TypeError, ValueError, RecursionError):
        return False


def exactly(found: Any, value: Any) -> bool:
    """Whether both are the same, types included."""
    if type(found) is not type(value):
        return False
    if isinstance(found, dict):
        return list(found) == list(value) and all(exactly(found[key], value[key]) for key in found)
    if isinstance(found, list):
        return len(found) == len(value) and all(map(exactly, found, value))
    return bool(found == value)


def restore(model: nn.Module, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Let `model` hold what `stored` gave.

    Raises:
        RuntimeError, ValueError, TypeError, KeyError, AttributeError: that does not fit.
    """
    doubles, extra = set(rest.get("complex128", ())), dict(rest.get("extra", {}))
    tensors = {name: torch.view_as_complex(one) if name in doubles else one for name, one in tensors.items()}
    passing = {name: tensors.pop(name) for name in rest.get("buffers", ())}
    model.load_state_dict({**tensors, **extra})
    for name, value in passing.items():
        path, _, own = name.rpartition(".")
        owner = model.get_submodule(path)
        if own not in own_buffers(owner):
            raise RuntimeError(f"unexpected buffer {name}")
        kept = own_buffers(owner)[own]
        same = value if kept is None else value.to(kept.device, kept.dtype)
        owner.register_buffer(own, same, persistent=is_persistent(owner, own))


def check_savable(make: Callable[[], nn.Module], path: Path) -> None:
    """Raise `InputError` unless a model such as `make` gives can be written to `path` and read again.

    For before the training whose result goes there.
    """
    tensors, rest = stored(make())
    try:
        restore(make(), tensors, rest)
    except Exception as error:
        raise InputError(f"save: the model cannot be loaded again from what it saves: {one_line(error)}") from error
    needed = HEADER_BYTES + sum(one.numel() * one.element_size() for one in tensors.values())
    try:
        free = shutil.disk_usage(path.absolute().parent).free
    except OSError:
        return
    if free < needed:
        raise InputError(
            f"{path}: cannot be written: the model takes {needed / 2**20:,.0f} MiB and {free / 2**20:,.0f} are free"
        )
