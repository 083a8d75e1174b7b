"""What a program is, to those that make one, compile it or run it."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import Tensor

Program: TypeAlias = Callable[..., Sequence[Tensor]]
"""(*state [lanes, ...], numbers [count, lanes], *batch, *draws) -> (*new state, loss [lanes])."""
