"""Rows that are read from elsewhere and wanted again and again, kept after their first reading while they fit."""

from collections.abc import Iterator, Sequence

import torch

from lanewise.data.arrays.nested import byte_count
from lanewise.data.rows.items import Batch
from lanewise.data.rows.rows import EVALUATION_SEED, Rows

MOST_BYTES = 2**28


class KeptRows:
    """Batches of `rows` under `EVALUATION_SEED`, which are the same every time.

    Lists of batches are kept as stored, in the order of their first use, while all of them together take
    no more than `most_bytes`; others are read each time.
    """

    def __init__(self, rows: Rows, most_bytes: int = MOST_BYTES) -> None:
        self.rows, self.most_bytes = rows, most_bytes
        self._taken = 0
        self._kept: dict[tuple[bytes, ...], list[Batch]] = {}

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[Batch]:
        """(x, y) of each of `parts`. How rows are cut into batches counts: what puts them together may look at it."""
        if not self.most_bytes:
            yield from self.rows.batches(parts, EVALUATION_SEED)
            return
        key = tuple(part.numpy().tobytes() for part in parts)
        if key in self._kept:
            yield from self._kept[key]
            return
        found: list[Batch] = []
        taken = 0
        for batch in self.rows.batches(parts, EVALUATION_SEED):
            taken += byte_count(batch[0]) + byte_count(batch[1])
            if self._taken + taken <= self.most_bytes:
                found.append(batch)
            yield batch
        if len(found) == len(parts) and key not in self._kept:
            self._kept[key] = found
            self._taken += taken
