"""Arrays as given become checked tensors: what may be trained on, and what is refused with a reason."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lanewise.data.arrays.large import is_large, is_much
from lanewise.errors import InputError, a_type, one_line

CHUNK_BYTES = 2**22
"""Work on whole data sets goes through blocks of about this size, so that float64 copies stay small."""

STORED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
"""Types kept as they are."""

WIDENED = {"uint16": "int32", "uint32": "int64"}
"""Unsigned types for which torch has few operations, and the next type that holds every value."""

PIXELS = (torch.bool, torch.uint8, torch.int8, torch.int16)
BYTES = (torch.uint8, torch.int8)

NUMBER_THEM = "numpy.unique(labels, return_inverse=True)[1] numbers them"


def row_blocks(x: torch.Tensor, rows: int | None = None) -> Iterator[slice]:
    """Slices that cover `rows` rows (by default all) like those of `x`, each about `CHUNK_BYTES` in float64."""
    step = max(1, CHUNK_BYTES // max(1, 8 * x.shape[1:].numel()))
    for start in range(0, len(x) if rows is None else rows, step):
        yield slice(start, start + step)


def as_tensor(where: str, value: Any, widen: bool = True) -> torch.Tensor:
    """`value` (array, tensor or nested list) as a dense tensor in main memory, in its own type.

    Memory is shared with a NumPy array or a CPU tensor, maps of files among them, which must not be written to. uint16
    becomes int32 and uint32 int64, if `widen`. Arrays of foreign byte order are copied, and so are small ones that do
    not lie row by row.

    Raises:
        InputError: `where` names it; ragged, masked, sparse, or no plain numbers.
    """
    tensor = value.detach() if isinstance(value, torch.Tensor) else torch_of(where, value)
    if tensor.is_nested or tensor.layout != torch.strided:
        raise InputError(f"{where} is sparse or nested: must be one dense array")
    if tensor.is_meta:
        raise InputError(f"{where} is on the meta device and holds no values: must be a tensor with values")
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind not in (*STORED, *WIDENED):
        raise InputError(f"{where} is {kind}: must be {', '.join((*STORED, *WIDENED))}")
    return widened(tensor.cpu()) if widen else tensor.cpu()


def widened(x: torch.Tensor) -> torch.Tensor:
    """`x` in a type for which torch has all operations."""
    kind = str(x.dtype).removeprefix("torch.")
    return x.to(getattr(torch, WIDENED[kind])) if kind in WIDENED else x


def torch_of(where: str, value: Any) -> torch.Tensor:
    """The tensor of a NumPy array or nested list."""
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{where} is a masked array: fill or drop the masked values first")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{where} is ragged: all rows must have the same shape ({one_line(error)})") from error
    if array.dtype.kind == "O":
        if type(value).__module__.partition(".")[0] == "pandas":
            raise InputError(
                f"{where} is {a_type(value)} with columns that are no numbers: give one DataFrame that holds"
                " the target too, as load(frame, target='...')"
            )
        raise InputError(f"{where} holds Python objects (ragged rows, mixed types): must be one dense array of numbers")
    if array.dtype.kind in "UST":
        raise InputError(f"{where} holds text: must be numbers; for labels, {NUMBER_THEM}")
    if array.dtype.name not in (*STORED, *WIDENED):
        raise InputError(f"{where} is {array.dtype}: must be {', '.join((*STORED, *WIDENED))}")
    if not shareable(array):
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    return shared_tensor(array)


def shared_tensor(array: "np.ndarray[Any, Any]") -> torch.Tensor:
    """The tensor that shares the memory of `array`, which may be read-only: nothing here writes to what users give."""
    with warnings.catch_warnings():
        # torch warns of memory that it may not write to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def shareable(array: "np.ndarray[Any, Any]") -> bool:
    """Whether torch can take the memory of `array`, in an order that is fast enough for its size."""
    if not array.dtype.isnative:
        return False
    if array.flags.c_contiguous:
        return True
    # Batches of a large array are put in order when they are gathered.
    whole = all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)
    return whole and is_much(array.nbytes)


def as_inputs(
    where: str, value: Any, images: bool | None = None, missing: bool = False, alone: bool = True
) -> torch.Tensor:
    """`value` as one checked leaf of the inputs: [rows, ...], one axis or more, all values finite.

    Images become [rows, channels, height, width]. Four axes are read as channels last, and turned, when the last has
    length 1, 3 or 4 and both before it are longer. Three axes of pixels (whole numbers of 8 or 16 bits, truth values)
    are images without a channel axis and get one; three axes of floating numbers are series [rows, time, features], and
    those of int32 and int64 are tokens, such as label maps and lists of edges. Of several inputs, masks of three axes
    stay as they are.

    Args:
        images: True reads three axes as images whatever the type; False leaves every shape as it is.
        missing: whether NaN is allowed; it stands for a missing number, which `Standardise` puts at the mean.
        alone: whether there are no other inputs.
    """
    x = as_tensor(where, value, widen=False)
    # Large pictures keep their bytes; rows are widened when they are gathered.
    if not is_large(x) or (images is False and x.ndim != 4):
        x = widened(x)
    if x.ndim < 1 or x.numel() == 0:
        state = "is a single number" if x.ndim < 1 else "is empty"
        raise InputError(f"{where} {state} (shape {list(x.shape)}): must have at least one row and one feature")
    check_finite(where, x, missing)
    if images is False:
        return x
    if x.ndim == 3 and (images or (holds_pixels(value, x) and not is_mask(x, alone))):
        return x.unsqueeze(1)
    if x.ndim == 4 and x.shape[3] in (1, 3, 4) and min(x.shape[1:3]) > x.shape[3]:
        turned = x.permute(0, 3, 1, 2)
        return turned if is_large(x) else turned.contiguous()
    return x if x.ndim == 4 else widened(x)


def holds_pixels(value: Any, x: torch.Tensor) -> bool:
    """Whether `x`, made of `value`, has the type of pixels."""
    return x.dtype in PIXELS or str(getattr(value, "dtype", "")).endswith("uint16")


def is_mask(x: torch.Tensor, alone: bool) -> bool:
    """Whether `x` only marks things: truth values or bytes of at most two values, beside other inputs."""
    return not alone and (x.dtype is torch.bool or (x.dtype in BYTES and has_two_values(x)))


def has_two_values(x: torch.Tensor) -> bool:
    """Whether there are at most two different values."""
    found = x.new_empty(0)
    for at in row_blocks(x):
        found = torch.unique(torch.cat([found, x[at].flatten()]))
        if len(found) > 2:
            return False
    return True


def check_finite(where: str, x: torch.Tensor, missing: bool = False) -> None:
    """Raise `InputError` with the count and the first row if `x` holds infinity or, unless `missing`, NaN."""
    if not x.is_floating_point():
        return
    bad, first = 0, None
    for block in row_blocks(x):
        wrong = torch.isinf(x[block]) if missing else ~torch.isfinite(x[block])
        found = int(wrong.sum())
        if found and first is None:
            first = block.start + int(wrong.reshape(len(wrong), -1).any(dim=1).nonzero()[0])
        bad += found
    if bad:
        raise InputError(f"{where} has {bad} NaN or infinite values, first in row {first}: all must be finite")


def listed(values: torch.Tensor) -> str:
    """At most eight of the sorted `values` in words: `0, 2, 5` or `1, 2, 3, ..., 90`."""
    words = [str(value) for value in values.tolist()]
    return ", ".join(words if len(words) <= 8 else [*words[:6], "...", words[-1]])
