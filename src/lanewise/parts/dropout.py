"""Dropout: each value is kept with probability 1 - rate and scaled by 1/(1 - rate).

The random numbers are an argument. One draw serves all lanes of a repeat, each with a threshold of its own: lanes of
equal rates drop the same values, and of two rates the smaller drops a subset of what the larger drops.
"""

import torch
from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number

RATE = Allowed(0.0, 1.0, high_open=True)
KINDS = ("plain", "spatial", "rows")


def dropout(x: Tensor, rate: float | Tensor, uniform: Tensor) -> Tensor:
    """y = x (u >= rate) / (1 - rate): zero with probability `rate`, the expectation unchanged.

    Args:
        x: values of any shape.
        rate: probability of dropping a value, in [0, 1); a 0-d tensor (a lane's own rate) is not checked.
        uniform: draws in [0, 1) of a shape that broadcasts to x's, see `uniform_shape`.

    Returns:
        The values that remain, scaled, of x's shape and dtype.

    Raises:
        InputError: `rate` is a Python number outside [0, 1), or `x` holds integers.

    Source: Srivastava et al., "Dropout", 2014; with the scaling in training ("inverted"), as torch does it.

    >>> dropout(torch.tensor([1.0, 2.0, 3.0]), 0.5, torch.tensor([0.2, 0.5, 0.9])).tolist()
    [0.0, 4.0, 6.0]
    """
    if not isinstance(rate, Tensor):
        check_number("dropout: rate", rate, RATE)
    if not x.is_floating_point():
        raise InputError(f"dropout: input of type {x.dtype}: must be a floating-point type")
    kept = (uniform >= rate).to(x.dtype)
    return x * (kept * (1 / (1 - rate))).to(x.dtype)


def uniform_shape(kind: str, x_shape: tuple[int, ...] | torch.Size) -> tuple[int, ...]:
    """Shape of the draw that `dropout` needs for an input of shape `x_shape`.

    `plain` draws for every value, `spatial` for every channel of every row (all of [N, C, ...] but space: what
    `torch.nn.Dropout1d`, `Dropout2d` and `Dropout3d` do), `rows` for every row (stochastic depth).

    >>> uniform_shape("plain", (8, 3)), uniform_shape("spatial", (8, 3, 5, 5)), uniform_shape("rows", (8, 3, 5))
    ((8, 3), (8, 3, 1, 1), (8, 1, 1))
    """
    if kind not in KINDS:
        raise InputError(f"dropout: kind = {kind!r}: must be one of {', '.join(KINDS)}")
    kept = {"plain": len(x_shape), "spatial": 2, "rows": 1}[kind]
    if len(x_shape) < kept:
        raise InputError(f"dropout: input of shape {tuple(x_shape)}: {kind} dropout needs at least {kept} dimensions")
    return tuple(x_shape[:kept]) + (1,) * (len(x_shape) - kept)


class Dropout(nn.Module):
    """Dropout as a layer of a plain loop; set `rate` between steps to schedule it.

    Args:
        rate: probability of dropping a value, in [0, 1).
        kind: what is dropped together, see `uniform_shape`.
        generator: where the random numbers come from, on the input's device; None is torch's global one.

    Raises:
        InputError: a rate or kind that does not exist, also when set later.

    >>> layer = Dropout(0.5, generator=torch.Generator().manual_seed(0))
    >>> layer.rate = 0.25
    >>> layer.eval()(torch.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, rate: float, kind: str = "plain", generator: torch.Generator | None = None) -> None:
        super().__init__()
        if kind not in KINDS:
            raise InputError(f"Dropout: kind = {kind!r}: must be one of {', '.join(KINDS)}")
        self.kind = kind
        self.generator = generator
        self.rate = rate

    @property
    def rate(self) -> float:
        """Probability of dropping a value, in [0, 1)."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        check_number(f"{type(self).__name__}: rate", rate, RATE)
        self._rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """`x` with values dropped in training, `x` itself in evaluation and at rate 0."""
        if not self.training or self.rate == 0:
            return x
        return dropout(x, self.rate, draw(uniform_shape(self.kind, x.shape), x.device, self.generator))

    def extra_repr(self) -> str:
        """The layer's arguments, for printing the model."""
        return f"rate={self.rate}, kind={self.kind}"


def draw(shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [0, 1), in float32 whatever the model computes in: bfloat16 has but 256 of them."""
    return torch.rand(shape, generator=generator, device=device, dtype=torch.float32)
