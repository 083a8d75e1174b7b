"""What identifies data and models: shapes, types and a checksum, so that a changed one is noticed."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from lanewise.data.arrays.checks import row_blocks


def fingerprint(tensors: Iterable[tuple[str, Tensor | None]]) -> dict[str, str]:
    """Name -> `type [shape] sha256` of every tensor that is not None.

    >>> fingerprint([("y", torch.zeros(2)), ("y_test", None)])["y"][:19]
    'float32 [2] af5570f'
    """
    found = {}
    for name, tensor in tensors:
        if tensor is not None:
            kind = str(tensor.dtype).removeprefix("torch.")
            found[name] = f"{kind} {list(tensor.shape)} {checksum(tensor)}"
    return found


def checksum(tensor: Tensor) -> str:
    """The SHA-256 of the bytes of `tensor`, in the order of its elements."""
    digest = hashlib.sha256()
    whole = tensor.detach()
    # In blocks, which alone are copied where the elements do not lie in their order.
    for part in (whole[at] for at in row_blocks(whole)) if whole.ndim else (whole,):
        flat = part.cpu().contiguous().view(-1)
        # As bytes, because NumPy has no bfloat16.
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
