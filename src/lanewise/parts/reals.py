"""Complex numbers as two reals: what optimizers, penalties and norms compute with, as `torch.optim` does."""

import torch
from torch import Tensor


def as_reals(value: Tensor) -> Tensor:
    """Complex `value` [...] as its real and imaginary parts [..., 2]; any other as it is.

    >>> as_reals(torch.tensor([1 + 2j])).tolist(), as_reals(torch.tensor([3.0])).tolist()
    ([[1.0, 2.0]], [3.0])
    """
    return torch.view_as_real(value.resolve_conj()) if value.is_complex() else value


def as_before(reals: Tensor, like: Tensor) -> Tensor:
    """`reals`, which `as_reals` made of a tensor such as `like`, in the type of `like` again.

    >>> as_before(torch.tensor([[1.0, 2.0]]), torch.tensor([0j])).tolist()
    [(1+2j)]
    """
    return torch.view_as_complex(reals.contiguous()) if like.is_complex() else reals


def real_type(dtype: torch.dtype) -> torch.dtype:
    """The type of the two reals of `dtype`; `dtype` itself where it is not complex.

    >>> real_type(torch.complex64), real_type(torch.float64)
    (torch.float32, torch.float64)
    """
    return dtype.to_real() if dtype.is_complex else dtype


def has_mean(value: Tensor) -> bool:
    """Whether `value` holds numbers that can be averaged: real or complex ones, not whole numbers or switches."""
    return value.is_floating_point() or value.is_complex()
