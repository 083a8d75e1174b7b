"""Training in bfloat16: the forward pass under `torch.autocast`, weights and losses in float32."""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.compile.torch_parts import tree_map

PRECISIONS = ("float32", "bfloat16")


def check_precision(precision: Any, device: torch.device) -> str:
    """`precision`, or `InputError` where it is none of `PRECISIONS` or `device` cannot compute in it."""
    if precision not in PRECISIONS:
        raise InputError(f"precision = {precision!r}: must be one of {', '.join(PRECISIONS)}")
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(f"precision = 'bfloat16': {device} cannot compute in it; must be float32 there")
    return str(precision)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """A context in which operations that gain by it are computed in `precision`.

    Without the cache of weights in bfloat16: inside `vmap` and `grad` it would keep tensors of an earlier call.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def widen_outputs(model: nn.Module) -> torch.utils.hooks.RemovableHandle:
    """Let `model` give its outputs in float32 from now on, so that losses are computed from these."""
    return model.register_forward_hook(lambda _, inputs, outputs: tree_map(widened, outputs))


def widened(output: Any) -> Any:
    """A tensor in bfloat16 as float32; anything else as it is."""
    return output.float() if isinstance(output, Tensor) and output.dtype == torch.bfloat16 else output
