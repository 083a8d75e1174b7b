"""The private names of `torch.nn` that the package uses, all in one place.

| name | why |
|---|---|
| `_BatchNorm`, `_NormBase`, `_ConvNd` | what all batch norms, and all convolutions, have in common, also users' own |
| `_parameters`, `_buffers`, `_modules` | public walks leave out empty entries and second names |
| `_non_persistent_buffers_set` | nothing public says which buffers `state_dict` leaves out |
| `_forward_hooks`, `_forward_pre_hooks`, `_backward_hooks` | nothing public lists a module's hooks |
| `_apply` | `Module.to` takes one type for real and complex tensors alike |

Where torch renames one, importing this module fails, or the function below that reads it raises AttributeError.

Beside these, `lanewise.lanes.compile` holds the private names that compiling and tracing take. torch's SequentialLR and
ChainedScheduler call private methods of schedulers, which `lanewise.bridges.torch_schedule` therefore overrides.
`lanewise.data.rows.dataset_rows` ends the processes of a DataLoader by its `_iterator`. `tests/test_private_names.py`
finds any other.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as AnyBatchNorm
from torch.nn.modules.batchnorm import _NormBase as AnyNorm
from torch.nn.modules.conv import _ConvNd as AnyConvolution

from lanewise.errors import InputError, a_type

__all__ = ["AnyBatchNorm", "AnyConvolution", "AnyNorm"]


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The module's own parameters, not those of its children: the very dict that it keeps."""
    return module._parameters


def own_buffers(module: nn.Module) -> dict[str, Tensor | None]:
    """The module's own buffers, not those of its children: the very dict that it keeps."""
    return module._buffers


def own_children(module: nn.Module) -> dict[str, nn.Module | None]:
    """The module's children under all of their names: the very dict that it keeps."""
    return module._modules


def is_persistent(module: nn.Module, buffer: str) -> bool:
    """Whether the module's `state_dict` holds its own buffer of that name."""
    return buffer not in module._non_persistent_buffers_set


def forward_hooks(module: nn.Module) -> list[Callable[..., Any]]:
    """What runs before the module's forward, and then what runs after it."""
    return [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]


def all_hooks(module: nn.Module) -> list[Callable[..., Any]]:
    """What runs before and after the module's forward, and in its backward."""
    return [*forward_hooks(module), *module._backward_hooks.values()]


def with_tensors(module: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """`module` itself, with each parameter and buffer replaced by what `convert` makes of it."""
    made: nn.Module = module._apply(convert)  # type: ignore[no-untyped-call]
    return made


def check_module(where: str, model: Any) -> None:
    """Raise `InputError` unless `model`, which `where` was given, is a module."""
    if isinstance(model, nn.Module):
        return
    is_class = isinstance(model, type) and issubclass(model, nn.Module)
    hint = f", such as {model.__name__}(...)" if is_class else ""
    raise InputError(f"{where}: model is {a_type(model)}: must be a torch.nn.Module{hint}")
