"""Whether the code of a model's own layers could change something that is no parameter: read from its bytecode."""

import dis
from collections.abc import Iterator
from types import CodeType
from typing import Any

from torch import nn

STORES = {"STORE_ATTR", "DELETE_ATTR", "STORE_SUBSCR", "DELETE_SUBSCR", "STORE_GLOBAL", "STORE_DEREF"}
CHANGES = {
    *("append", "extend", "insert", "add", "update", "pop", "popitem", "popleft", "appendleft", "remove", "clear"),
    *("setdefault", "discard", "setattr", "__setattr__", "__setitem__", "__dict__"),
}
"""Methods of containers that change them, and other ways to set an attribute."""
MADE_ONCE = {"__init__", "__post_init__", "__setstate__", "reset_parameters", "extra_repr"}


def may_store(model: nn.Module) -> bool:
    """Whether a function of a layer's class, outside of torch's own and of what makes a layer, could change anything.

    A store to a tensor's items (`x[mask] = 0`) looks the same in bytecode, and counts.
    """
    kinds = {kind for layer in model.modules() for kind in type(layer).__mro__ if not of_torch(kind)}
    functions = (
        function
        for kind in kinds
        for name, function in vars(kind).items()
        if name not in MADE_ONCE and hasattr(plain_function(function), "__code__")
    )
    return any(stores(plain_function(function).__code__) for function in functions)


def of_torch(kind: type) -> bool:
    """Whether a class is torch's, ours or Python's."""
    return kind.__module__.partition(".")[0] in ("torch", "lanewise", "builtins", "typing", "abc")


def plain_function(value: Any) -> Any:
    """The function behind a static or class method, a property or a decorator that says so."""
    for name in ("__func__", "fget", "__wrapped__"):
        value = getattr(value, name, None) or value
    return value


def stores(code: CodeType) -> bool:
    """Whether some instruction of `code`, or of functions defined in it, could change an object."""
    for part in nested(code):
        cells = set(part.co_cellvars)
        for step in dis.get_instructions(part):
            own_cell = step.opname == "STORE_DEREF" and step.argval in cells
            if step.opname in STORES and not own_cell:
                return True
            if step.argval in CHANGES and step.opname.startswith("LOAD_"):
                return True
    return False


def nested(code: CodeType) -> Iterator[CodeType]:
    """`code` and that of the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)
