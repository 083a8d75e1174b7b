"""What each parameter is for, found from the type of its module; penalties and Muon use it.

The number of dimensions does not tell: a LayerNorm over [4, 4] has a two-dimensional weight, and the weight of a
PReLU looks like a bias.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from lanewise.base.torch_modules import AnyConvolution, AnyNorm, check_module
from lanewise.errors import InputError, a_type

NORMALISATION = (AnyNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
EMBEDDING = (nn.Embedding, nn.EmbeddingBag)
WEIGHTED = (nn.Linear, nn.Bilinear, AnyConvolution, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


class Role(StrEnum):
    """What a parameter is for."""

    WEIGHT = "weight"
    BIAS = "bias"
    NORM = "norm"
    EMBEDDING = "embedding"
    OTHER = "other"


def roles(model: nn.Module, also: Mapping[type[nn.Module], Role] | None = None) -> dict[str, Role]:
    """The role of every parameter of `model`, by its name.

    Weights and biases are those of linear, bilinear, convolution, recurrent and attention layers; `norm` is every
    parameter of a batch, instance, layer, group or RMS normalisation, subclasses included; what a module of another
    type holds itself is `other`. A tensor with several names (tied weights) has the role of its first name under all
    of them. A parametrised tensor hands its role to the tensors it is made from.

    Args:
        model: any module.
        also: roles of the parameters of further module types, before all others: `Role.WEIGHT` makes what has "bias"
            in its name a bias.

    Raises:
        InputError: `also` holds something that is no module type, or a value that is no role.

    >>> {name: str(role) for name, role in roles(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))).items()}
    {'0.weight': 'weight', '0.bias': 'bias', '1.weight': 'norm', '1.bias': 'norm'}
    """
    check_module("roles", model)
    if also is not None and not isinstance(also, Mapping):
        raise InputError(f"also is {a_type(also)}: must map module types to one of {', '.join(Role)}")
    kinds = dict(also or {})
    for kind, role in kinds.items():
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)) or role not in set(Role):
            raise InputError(f"also = {{{kind!r}: {role!r}}}: must map module types to one of {', '.join(Role)}")
    modules = dict(model.named_modules(remove_duplicate=False))
    first: dict[int, Role] = {}
    found: dict[str, Role] = {}
    for name, param in model.named_parameters(remove_duplicate=False):
        found[name] = first.setdefault(id(param), _role(name, modules, kinds))
    return found


def _role(name: str, modules: Mapping[str, nn.Module], kinds: Mapping[type[nn.Module], Role]) -> Role:
    path, _, own = name.rpartition(".")
    if isinstance(modules[path], ParametrizationList):
        owner, _, own = path.rpartition(".")
        path = owner.removesuffix("parametrizations").removesuffix(".")
    module = modules[path]
    given = next((Role(role) for kind, role in kinds.items() if isinstance(module, kind)), None)
    if given is not None and given is not Role.WEIGHT:
        return given
    if isinstance(module, NORMALISATION):
        return Role.NORM
    if isinstance(module, EMBEDDING):
        return Role.EMBEDDING
    if given is None and not isinstance(module, WEIGHTED):
        return Role.OTHER
    return Role.BIAS if "bias" in own else Role.WEIGHT


def penalised(model: nn.Module, patterns: Sequence[str] | None = None) -> set[str]:
    """The names of the parameters of `model` that penalties apply to; a tied one under all its names, once any fits.

    Args:
        model: any module.
        patterns: names, `*` standing for anything (`head.*`); None for those whose role is weight.

    Raises:
        InputError: a pattern that fits no parameter.

    >>> sorted(penalised(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), ["1.*"]))
    ['1.bias', '1.weight']
    """
    if patterns is None:
        return {name for name, role in roles(model).items() if role is Role.WEIGHT}
    named = dict(model.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        if not fnmatch.filter(named, pattern):
            raise InputError(f"penalised = {pattern!r}: fits no parameter; must be among {', '.join(named)}")
    chosen = {id(named[name]) for pattern in patterns for name in fnmatch.filter(named, pattern)}
    return {name for name, param in named.items() if id(param) in chosen}


def check_names(where: str, value: Any) -> None:
    """Raise `InputError` unless `value` is None or a tuple of names."""
    if value is None:
        return
    if not isinstance(value, tuple) or not value or not all(isinstance(name, str) and name for name in value):
        raise InputError(f"{where} = {value!r}: must be none or a list of parameter names such as head.*")
