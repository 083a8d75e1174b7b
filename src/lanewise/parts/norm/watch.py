"""Watching what layers are given while a model runs, without leaving a trace in the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Kinds = tuple[type[nn.Module], ...]


@contextmanager
def watched(model: nn.Module, kinds: Kinds, note: Callable[[str, Tensor], None]) -> Iterator[None]:
    """While open, `model` is in evaluation mode, and each layer of `kinds` gives its name and input to `note`.

    There are no gradients, compiled modules run eagerly, and afterwards every module's mode is what it was.
    """

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: note(name, given[0])

    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_pre_hook(hook(name)) for name, module in layers]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for handle in hooks:
            handle.remove()
        for module, mode in modes:
            module.training = mode


def input_dims(model: nn.Module, kinds: Kinds, example: Any) -> dict[str, int]:
    """How many dimensions the input of each layer of `kinds` has, by name, when `model` is given `example`.

    `example` is an input or a tuple of inputs; None gives an empty result.
    """
    dims: dict[str, int] = {}
    if example is not None:
        with watched(model, kinds, lambda name, x: dims.update({name: x.ndim})):
            model(*(example if isinstance(example, tuple) else (example,)))
    return dims
