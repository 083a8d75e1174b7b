"""Models by name: two small reference models, and the user's own factory `package.module:factory`.

A factory is called without arguments, or with the `width` and `rank` that a recipe gives.

The reference models are plain `nn.Sequential`. Their dropout rate is 0 and their batch norm momentum torch's 0.1: the
recipe's numbers replace both. Layers in front of a batch norm have no bias, since its true gradient is zero there.
"""

import importlib
import inspect
import math
import pickle
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from lanewise.base.seeding import seed_torch
from lanewise.base.torch_modules import is_persistent, own_buffers, with_tensors
from lanewise.data.arrays.nested import Inputs, shapes
from lanewise.errors import InputError, a_type, one_line
from lanewise.task.objectives import Objective
from lanewise.task.outputs import chosen, run_model

Factory: TypeAlias = Callable[..., nn.Module]
"""Called without arguments, or with `width=64`, or `rank=8`."""

BUILT_IN = {"mlp": (128,), "cnn": (16, 32)}
"""Models known by name and the sizes they have by default; a recipe file may record these names."""

ALLOWED = "mlp, mlp:256,256, cnn, cnn:16,32, timm:resnet18, transformers:bert or package.module:factory"
LARGEST = 65_536
"""Most units or channels of a layer; a larger number is a slip of the finger."""


def build(name: str, input_shape: Sequence[int], outputs: int) -> Factory:
    """A factory, called after seeding with what sizes a recipe gives, of the model `name`.

    Args:
        name: `mlp` or `mlp:256,256` (units of each hidden layer), `cnn` or `cnn:16,32` (channels of each block), or
            `package.module:factory`, whose module is looked for in the current folder first.
        input_shape: shape of one row, [features] or [channels, height, width].
        outputs: number of outputs.

    Raises:
        InputError: unknown name, sizes out of range, an image too small for the poolings, or a factory that cannot be
            found. A user's factory that fails or returns no `nn.Module` raises it when it is called.
    """
    kind, colon, rest = name.partition(":")
    if kind in BUILT_IN:
        sizes = parse_sizes(name, rest) if colon else BUILT_IN[kind]
        if kind == "mlp":
            return partial(sized, mlp, math.prod(input_shape), sizes, outputs)
        check_image(name, input_shape, len(sizes))
        return partial(sized, cnn, tuple(input_shape), sizes, outputs)
    if not kind or not rest:
        raise InputError(f"model {name!r} is unknown: must be {ALLOWED}")
    return partial(call, name, find(name, kind, rest))


def sized(
    make: Callable[..., nn.Module],
    row: Any,
    sizes: Sequence[int],
    outputs: int,
    width: int | None = None,
    **others: int,
) -> nn.Module:
    """`make(row, sizes, outputs)`, the sizes in the same proportion with `width` as the first of them.

    >>> [layer.out_features for layer in sized(mlp, 64, (256, 128), 10, width=9) if isinstance(layer, nn.Linear)]
    [9, 4, 10]
    """
    for name, value in others.items():
        raise InputError(
            f"{name} = {value}: the model takes none; must be a function of your own that has it, see lora"
        )
    if width is not None:
        sizes = tuple(max(1, round(width * size / sizes[0])) for size in sizes)
    return make(row, sizes, outputs)


def parse_sizes(name: str, text: str) -> tuple[int, ...]:
    """The layer sizes in `text`, such as `256,256`."""
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) <= 5 and 1 <= int(word) <= LARGEST for word in words):
        raise InputError(f"model {name!r}: sizes {text!r} must be integers in [1, {LARGEST}] with commas between")
    return tuple(map(int, words))


def check_image(name: str, input_shape: Sequence[int], poolings: int) -> None:
    """Raise `InputError` unless rows are images that can be halved `poolings` times."""
    if len(input_shape) != 3:
        raise InputError(
            f"model {name!r} needs images [channels, height, width]; a row here is {[*input_shape]}: give grey images "
            "as [rows, 1, height, width]"
        )
    most = int(math.log2(min(input_shape[1:])))
    if poolings > most:
        height, width = input_shape[1:]
        raise InputError(f"model {name!r} halves the image {poolings} times; {height} x {width} allows at most {most}")


def mlp(features: int, hidden: Sequence[int], classes: int) -> nn.Sequential:
    """A perceptron: per hidden layer Linear, BatchNorm1d, ReLU, Dropout; then Linear. Input [rows, ...], flattened."""
    layers: list[nn.Module] = [nn.Flatten()]
    for units in hidden:
        layers += [nn.Linear(features, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(), nn.Dropout(0.0)]
        features = units
    return nn.Sequential(*layers, nn.Linear(features, classes))


def cnn(image: tuple[int, ...], channels: Sequence[int], classes: int) -> nn.Sequential:
    """A convolutional network: per entry Conv2d 3x3, BatchNorm2d, ReLU, MaxPool2d(2); then Flatten, Dropout, Linear.

    `image` is [channels, height, width]; each pooling halves height and width and drops an odd last line.
    """
    depth, height, width = image
    layers: list[nn.Module] = []
    for count in channels:
        convolution = nn.Conv2d(depth, count, kernel_size=3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(count), nn.ReLU(), nn.MaxPool2d(2)]
        depth, height, width = count, height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.0), nn.Linear(depth * height * width, classes))


def converted(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`model` itself with its numbers in the real type `dtype`, complex ones in the complex type of that precision."""
    tensors = (*model.parameters(), *model.buffers())
    if not any(tensor.is_complex() for tensor in tensors):
        return model.to(dtype)

    def one(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_complex():
            return tensor.to(dtype.to_complex())
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    # `Module.to` takes one type for both: a real one drops imaginary parts.
    return with_tensors(model, one)


def passing_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """The buffers of `model` that its `state_dict` leaves out (`persistent=False`), by name.

    >>> model = nn.BatchNorm1d(2)
    >>> model.register_buffer("seen", torch.zeros(1), persistent=False)
    >>> passing_buffers(model)
    {'seen': tensor([0.])}
    """
    return {
        f"{path}.{name}".lstrip("."): buffer
        for path, module in model.named_modules()
        for name, buffer in own_buffers(module).items()
        if buffer is not None and not is_persistent(module, name)
    }


@contextmanager
def current_folder_first() -> Iterator[None]:
    """Let imports look in the current folder first; the path is as before afterwards."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the imported module may have taken it out itself
            sys.path.remove(folder)


@contextmanager
def seeded(seed: int, enabled: bool = True) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, which a user's code may draw from.

    Their states are as before afterwards; nothing happens if not `enabled`.
    """
    if not enabled:
        yield
        return
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=devices):
            seed_torch(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def generator_states(device: torch.device) -> list[bytes]:
    """The states of all global generators that a model on `device` may draw from, to be compared."""
    found = [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
    numpy = np.random.get_state(legacy=False)
    return [*(state.numpy().tobytes() for state in found), repr(random.getstate()).encode(), pickle.dumps(numpy)]


def find(name: str, module_name: str, attribute: str) -> Callable[..., Any]:
    """The user's factory; `name` is for messages."""
    try:
        with current_folder_first():
            # The module may have been written a moment ago.
            importlib.invalidate_caches()
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(f"model {name!r}: importing {module_name} raised {one_line(error)}") from error
        raise InputError(
            f"model {name!r}: there is no module {error.name!r} in the current folder ({Path.cwd()}) nor among the"
            f" installed packages; must be {ALLOWED}"
        ) from error
    # A script that parses arguments when imported leaves by SystemExit.
    except (Exception, SystemExit) as error:
        raise InputError(f"model {name!r}: importing {module_name} raised {one_line(error)}") from error
    try:
        factory = attrgetter(attribute)(module)
    except AttributeError as error:
        raise InputError(f"model {name!r}: {module_name} has no {attribute!r}; {candidates(module)}") from error
    if isinstance(factory, nn.Module):
        raise InputError(f"model {name!r}: is a model already; must be a function or class that makes a new one")
    if not callable(factory):
        raise InputError(f"model {name!r}: is {a_type(factory)}; must be a function or class that makes one")
    return factory  # type: ignore[no-any-return]


def candidates(module: ModuleType) -> str:
    """The functions and classes that `module` itself defines, for a message."""
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return f"it has {', '.join(sorted(own)[:12])}" if own else "it defines no function or class"


def call(name: str, factory: Callable[..., Any], **sizes: int) -> nn.Module:
    """The model that the user's `factory` returns."""
    for size, value in sizes.items():
        if not takes(factory, size):
            raise InputError(
                f"{size} = {value}: the model {name!r} takes none; its function must have an argument of that name, "
                f"such as def make_net({size}={64 if size == 'width' else 8})"
            )
    try:
        # The factory may import modules of its own folder when it runs.
        with current_folder_first():
            model = factory(**sizes)
    except InputError:
        raise
    except Exception as error:
        how = f"with {', '.join(f'{n}={v}' for n, v in sizes.items())}" if sizes else "without arguments"
        raise InputError(f"model {name!r}: called {how}, it raised {one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"model {name!r}: returned {a_type(model)}; must return a torch.nn.Module")
    return model


def takes(factory: Callable[..., Any], size: str) -> bool:
    """Whether `factory` can be called with an argument of that name.

    >>> [takes(factory, "width") for factory in (lambda width=8: None, lambda **sizes: None, lambda: None)]
    [True, True, False]
    """
    try:
        inspect.signature(factory).bind_partial(**{size: 1})
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def evaluated(model: nn.Module) -> Iterator[nn.Module]:
    """`model` in evaluation mode; the modes of all layers and the random generator are as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad(), seeded(0):
            yield model.eval()
    finally:
        for module, training in modes:
            module.training = training


def check_output(model: nn.Module, objective: Objective, inputs: Inputs, targets: Any, classes: int | None) -> Any:
    """What `model` makes of `inputs` in evaluation mode, or `InputError` unless that fits the targets.

    The modes of all layers and the random generator are left as they were.
    """
    shape = shapes(inputs)
    try:
        with evaluated(model):
            returned = run_model(model, inputs)
    except Exception as error:
        raise InputError(f"model fails on inputs of shape {shape}: {one_line(error)}") from error
    part, out = chosen(returned)
    taken = f"{type(returned).__name__} whose {part} is " if part else ""
    wanted = objective.check(out, targets, classes)
    if wanted and not isinstance(out, torch.Tensor):
        raise InputError(f"model returns {a_type(out)} on inputs of shape {shape}: must be {wanted}")
    if wanted:
        found = f"{taken}{out.dtype} of shape {list(out.shape)}"
        raise InputError(f"model returns {found} on inputs of shape {shape}: must be {wanted}")
    return out


def check_memory(model: nn.Module) -> None:
    """Raise `InputError` if two parameters of `model` share their memory without being one: each would train it."""
    found: dict[int, str] = {}
    for name, parameter in model.named_parameters():
        if parameter.numel() and parameter.layout == torch.strided:
            other = found.setdefault(parameter.data_ptr(), name)
            if other != name:
                raise InputError(
                    f"model: {other} and {name} are two parameters in the same memory; tie them by giving both layers "
                    "the same parameter, or copy its values"
                )


def describe(model: nn.Module) -> str:
    """The layers of `model` and its number of trainable parameters, on one line.

    >>> describe(mlp(64, [128], 10))
    'Flatten, Linear 64-128, BatchNorm1d, ReLU, Dropout, Linear 128-10; 9,738 parameters'
    """
    layers = [module for module in model.modules() if next(module.children(), None) is None]
    words = [layer_words(layer) for layer in layers]
    if len(words) > 16:
        words = [f"{count} {kind}" for kind, count in Counter(type(layer).__name__ for layer in layers).items()]
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return f"{', '.join(words)}; {count:,} parameters"


def layer_words(layer: nn.Module) -> str:
    """The type of `layer`, with its sizes if it is linear or a convolution."""
    kind = type(layer).__name__
    if isinstance(layer, nn.Linear):
        return f"{kind} {layer.in_features}-{layer.out_features}"
    if isinstance(layer, nn.Conv2d):
        return f"{kind} {layer.in_channels}-{layer.out_channels}"
    return kind
