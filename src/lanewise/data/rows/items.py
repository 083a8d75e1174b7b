"""Items of a Dataset: read under their own random numbers, turned into tensors, put together to a batch."""

import hashlib
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lanewise.data.arrays.checks import as_tensor, check_finite
from lanewise.data.arrays.nested import Inputs, Targets, branches, leaves, mapped, rebuilt
from lanewise.data.formats.picture_kinds import as_pixels
from lanewise.errors import InputError, one_line

Batch = tuple[Inputs, Targets]


@dataclass(frozen=True)
class Failed:
    """Why a row could not be read, to be raised where the rows are wanted: workers would add their own traceback."""

    reason: str


def item_seed(epoch_seed: int, *purpose: object) -> int:
    """A seed in [0, 2**63) that follows from the epoch's and from the row (or rows) alone.

    >>> item_seed(3, 7) == item_seed(3, 7), item_seed(3, 7) == item_seed(3, 8)
    (True, False)
    """
    text = "/".join(str(word) for word in (epoch_seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (CPU)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def random_state() -> tuple[Any, ...]:
    """The state of the global generators."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def set_random_state(state: tuple[Any, ...]) -> None:
    """Put the global generators into the `state` that `random_state` gave."""
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


@contextmanager
def kept_randomness() -> Iterator[None]:
    """Leave the global generators as they were."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


class SeededItems(Dataset[Any]):
    """A map-style dataset read by (row, epoch seed): what is drawn in an item depends on these two alone."""

    def __init__(self, dataset: Any, name: str) -> None:
        self.dataset, self.name = dataset, name

    def __getitems__(self, wanted: Sequence[tuple[int, int]]) -> "list[Any] | Failed":
        """The items of a batch, with the seed for putting them together as the last."""
        with kept_randomness():
            items = []
            for row, epoch_seed in wanted:
                seed_all(item_seed(epoch_seed, row))
                try:
                    items.append(self.dataset[row])
                except Exception as error:
                    return Failed(f"data {self.name}: row {row} cannot be read ({one_line(error)}{place(error)})")
            return [*items, item_seed(wanted[0][1], *(row for row, _ in wanted))]


class Collate:
    """Puts the items of `SeededItems` together, by the user's own `collate_fn` if there is one."""

    def __init__(self, name: str, own: Callable[[list[Any]], Any] | None) -> None:
        self.name, self.own = name, own

    def __call__(self, read: "list[Any] | Failed") -> "Batch | Failed":
        if isinstance(read, Failed):
            return read
        *items, seed = read
        try:
            with kept_randomness():
                seed_all(seed)
                return collated(f"data {self.name}:", items, self.own)
        except InputError as error:
            return Failed(str(error))
        except Exception as error:
            return Failed(f"data {self.name}: collate_fn failed ({one_line(error)}{place(error)})")


def place(error: BaseException) -> str:
    """Where `error` came from, for a message: `, at mydata.py:31`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f", at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def collated(where: str, items: list[Any], own: Callable[[list[Any]], Any] | None) -> Batch:
    """(x, y) of the `items`: pairs are inputs and targets, anything else is inputs alone.

    Raises:
        InputError: values that are no numbers, items of different shapes, NaN or infinity.
    """
    if own is not None:
        x, y = parts_of(own(items))
        batch = as_leaves(f"{where} x", x), None if y is None else as_leaf(f"{where} y", y)
    else:
        pairs = [parts_of(item) for item in items]
        x = stacked(f"{where} x", [as_leaves(f"{where} x", x) for x, _ in pairs])
        targets = [y for _, y in pairs]
        missing = [y is None for y in targets]
        if any(missing) and not all(missing):
            raise InputError(f"{where} some items are pairs (x, y) and some are not: all must be alike")
        y = stacked(f"{where} y", [as_leaf(f"{where} y", y) for y in targets]) if not any(missing) else None
        batch = x, y
    for name, leaf in branches(f"{where} x", batch[0]).items():
        check_finite(name, leaf)
    if batch[1] is not None:
        check_finite(f"{where} y", batch[1])
    return batch


def parts_of(item: Any) -> tuple[Any, Any]:
    """(x, y) of an item or a batch; y is None unless it is a pair."""
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    return (tuple(item) if isinstance(item, list) else item), None


def as_leaves(where: str, value: Any) -> Inputs:
    """Every tensor of the inputs of an item or a batch."""
    if isinstance(value, Mapping):
        if any(isinstance(part, (Mapping, tuple)) for part in value.values()) or not value:
            raise InputError(f"{where} has the names {list(value)}: must be at least one, each with one array")
        return {str(name): as_leaf(f"{where}[{name!r}]", part) for name, part in value.items()}
    if isinstance(value, tuple) and value:
        return tuple(as_leaf(f"{where}[{number}]", part) for number, part in enumerate(value))
    return as_leaf(where, value)


def as_leaf(where: str, value: Any) -> torch.Tensor:
    """One value of an item as a tensor; a picture as uint8 [channels, height, width]."""
    if isinstance(value, torch.Tensor) and not value.requires_grad and value.device.type == "cpu":
        return value
    image = sys.modules.get("PIL.Image")
    if image is not None and isinstance(value, image.Image):
        try:
            return as_pixels(value)
        except InputError as error:
            raise InputError(f"{where} {error}") from error
    return as_tensor(where, value)


def stacked(where: str, items: list[Inputs]) -> Inputs:
    """The items as the rows of one batch."""

    def stack(*group: torch.Tensor) -> torch.Tensor:
        shapes, types = {tuple(leaf.shape) for leaf in group}, {leaf.dtype for leaf in group}
        if len(shapes) > 1 or len(types) > 1:
            found = ", ".join(sorted(map(str, map(list, shapes) if len(shapes) > 1 else types))[:3])
            raise InputError(
                f"{where} has rows of different {'shapes' if len(shapes) > 1 else 'types'} ({found}): must be alike;"
                " a DataLoader with a collate_fn may pad them"
            )
        return torch.stack(group)

    try:
        return mapped(stack, items[0], *items[1:])
    except (KeyError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} has rows with different parts ({one_line(error)}): must be alike") from error


def joined(batches: list[Batch]) -> Batch:
    """Batches one after the other as one.

    Raises:
        InputError: rows of different shapes.
    """
    x, y = batches[0]
    if len(batches) == 1:
        return x, y
    try:
        x = rebuilt(x, [torch.cat(group) for group in zip(*(leaves(part) for part, _ in batches), strict=True)])
        return x, None if y is None else torch.cat([part for _, part in batches])
    except (RuntimeError, ValueError) as error:
        raise InputError(f"batches have rows of different shapes ({one_line(error)}): must be alike") from error
