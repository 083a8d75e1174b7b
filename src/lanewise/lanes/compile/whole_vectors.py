"""Eager packs in which a value does not depend on its place.

torch computes functions such as `sigmoid`, `gelu` or `pow` in vectors of the processor, and what is left at the end of
a tensor value by value, with another approximation that may differ in the last bit. The lanes of a pack lie one after
another, so that the last lanes would get other bits than the first. Such a function is computed here on a tensor made
longer, up to a whole number of vectors. `+`, `*`, `/`, `sqrt` and the like are rounded correctly in both ways, and
what torch hands to a vector library (`exp`, `log`, `tanh`) has no remainder.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lanewise.lanes.compile.torch_parts import DispatchMode

aten: Any = torch.ops.aten
VECTORS = 64
"""A multiple of the values that torch takes at a time, whatever their type and the processor."""
EXACT = {
    *("abs", "add", "add_", "addcdiv", "addcmul", "ceil", "clamp", "clamp_", "clamp_max", "clamp_min", "clone"),
    *("detach", "div", "div_", "fill", "fill_", "floor", "floor_divide", "hardtanh", "leaky_relu", "lerp", "lerp_"),
    *("masked_fill", "masked_fill_", "maximum", "minimum", "mul", "mul_", "neg", "reciprocal", "relu", "relu_"),
    *("round", "rsub", "sgn", "sign", "square", "sub", "sub_", "threshold", "threshold_backward", "trunc", "where"),
    *("bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "eq", "ge", "gt", "isfinite", "isinf", "isnan"),
    *("le", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "ne", "zero_"),
    *("cos", "erf", "exp", "expm1", "log", "log10", "log1p", "log2", "rsqrt", "sin", "sqrt", "tanh"),
    *("sigmoid_backward", "tanh_backward"),
}
"""Functions of single values whose bits do not depend on place."""
BEYOND_TAGS = {
    aten.elu_backward.default,
    aten.mish_backward.default,
    aten.softplus_backward.default,
    aten.log_sigmoid_backward.default,
    aten.hardswish.default,
    aten.hardswish_backward.default,
    aten.hardsigmoid_backward.default,
}
"""Functions of single values that torch does not mark as such."""
EXACT_POWERS = {-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0}
"""Powers that torch computes by products and roots."""
HALVES = {aten.glu.default, aten.glu_backward.default}
"""Functions of two halves of a tensor."""


def depends_on_place(function: Any, args: Sequence[Any]) -> bool:
    """Whether a value that `function` gives may depend on where in a tensor it stands."""
    if function in BEYOND_TAGS or function in HALVES:
        return True
    if torch.Tag.pointwise not in function.tags or function._schema.name.removeprefix("aten::") in EXACT:
        return False
    return not (function is aten.pow.Tensor_Scalar and float(args[1]) in EXACT_POWERS)


class WholeVectors(DispatchMode):
    """Has functions whose values depend on place computed in whole vectors.

    Attributes:
        mattered: whether there was such a function, on a tensor that is no whole number of vectors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mattered = False
        # With several threads each computes a part, and each part must be a whole number of vectors.
        self._multiple = VECTORS * torch.get_num_threads()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not depends_on_place(function, args):
            return function(*args, **kwargs)
        if function._schema.is_mutable:
            changed = args[0]
            if not self._matters(changed):
                return function(*args, **kwargs)
            # The function is given, and changes, copies.
            changed.copy_(self._flat(function, args, kwargs, changed.shape).view(changed.shape))
            return changed
        made = function(*args, **kwargs)
        if function in HALVES:
            return self._of_halves(function, args, made)
        if not (isinstance(made, Tensor) and self._matters(made)):
            return made
        return made.copy_(self._flat(function, args, kwargs, made.shape).view(made.shape))

    def _matters(self, tensor: Tensor) -> bool:
        odd = tensor.is_floating_point() and tensor.numel() % self._multiple != 0
        self.mattered |= odd
        return odd

    def _flat(self, function: Any, args: Any, kwargs: Any, shape: torch.Size) -> Tensor:
        """The values of `function`, in one dimension, computed in whole vectors."""

        def longer(value: Any) -> Any:
            if not isinstance(value, Tensor) or value.ndim == 0:
                return value
            return self._longer(value.expand(shape).reshape(-1))

        made: Tensor = function(*map(longer, args), **{name: longer(value) for name, value in kwargs.items()})
        return made[: shape.numel()]

    def _longer(self, flat: Tensor) -> Tensor:
        # Filled up by a value of its own, which the function can take.
        return torch.cat([flat, flat[:1].expand(-len(flat) % self._multiple)])

    def _of_halves(self, function: Any, args: Any, made: Tensor) -> Tensor:
        """What `glu` or its gradient gives: (input, dim) -> half, (gradient of the half, input, dim) -> both."""
        backward = function is aten.glu_backward.default
        first, given = args[:backward], args[backward]
        dim = args[backward + 1] if len(args) > backward + 1 else -1
        parts = [*first, *given.chunk(2, dim)]
        if not self._matters(parts[0]):
            return made
        *first, a, b = (self._longer(part.reshape(-1)) for part in parts)
        found = function(*first, torch.stack([a, b]), 0)
        halves = [half[: parts[0].numel()].view(parts[0].shape) for half in found]
        return made.copy_(torch.cat(halves, dim))


def in_whole_vectors(program: Callable[..., Any], size: int) -> Callable[..., Any]:
    """`program` for stacked lanes, whose first `size` inputs are state, with bits that do not depend on place.

    Whether that takes anything is found out once for inputs of the same shapes; where not, calls cost no more.
    """
    mattered: dict[Any, bool] = {}

    def run(*flat: Tensor) -> Any:
        if flat[0].device.type != "cpu" or _get_current_dispatch_mode() is not None:
            # Being captured: compiled code has no remainders, see `compiled.vectors_to_the_end`.
            return program(*flat)
        key = (torch.get_num_threads(), len(flat[0]), *(leaf.shape for leaf in flat[size:]))
        if mattered.get(key, True):
            with WholeVectors() as mode:
                made = program(*flat)
            mattered[key] = mode.mattered
            return made
        return program(*flat)

    return run
