"""Gradients of lanes without importing torch's compiler.

`torch.func.grad` switches compiled autograd off for its own time, and for that imports `torch._dynamo`, which takes 1.5
seconds. Before somebody else has imported it there is nothing to switch off.
"""

import contextlib
import importlib
import sys
from typing import Any

import torch


class _CompiledAutograd:
    """The part of `torch._dynamo` that `torch.func.grad` imports."""

    _disable = staticmethod(contextlib.nullcontext)

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch._dynamo.compiled_autograd"), name)


class _NotImported:
    """Stands for `torch._dynamo`, which takes its place once it is imported, by anybody or for any other attribute."""

    compiled_autograd = _CompiledAutograd()

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch._dynamo"), name)


def leave_out_dynamo() -> None:
    """Let `torch.func.grad` do without `torch._dynamo` as long as nothing else needs that."""
    if "torch._dynamo" not in sys.modules:
        torch._dynamo = _NotImported()  # type: ignore[assignment]
