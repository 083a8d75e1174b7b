"""The pool that every repeat splits, and the rows kept for the one test at the end.

Splits follow the source's `Splitter`: by class unless it says otherwise.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from lanewise.data.arrays.class_errors import ClassError
from lanewise.data.arrays.fingerprint import checksum
from lanewise.data.arrays.large import MEASURED_ONCE, is_large
from lanewise.data.arrays.nested import Targets, byte_count, take
from lanewise.data.arrays.target_scale import TargetScale
from lanewise.data.rows.kept import MOST_BYTES, KeptRows
from lanewise.data.rows.rows import Rows, SubsetRows, TensorRows, tensor_rows
from lanewise.data.source.source import Source
from lanewise.data.source.standardise import Standardise
from lanewise.data.splitting.partition import Split, divided
from lanewise.data.splitting.splitter import Seeds, Splitter


@dataclass(frozen=True, eq=False, repr=False)
class Holdout:
    """The pool that every repeat splits, and the test rows, which are used once.

    Attributes:
        pool: the rows that every repeat splits. test: the test rows. Both in their stored type.
        pool_y, test_y: their targets; None where there are none, where they are too large for a copy, and where they
            are read with the rows and are neither classes nor numbers.
        splitter: how the pool is split. stratified: whether `pool_y` are classes.
        standardise: which inputs are standardised, as in the source. class_names: for messages.
    """

    pool: Rows
    pool_y: Targets
    test: Rows
    test_y: Targets
    splitter: Splitter = field(default_factory=Splitter)
    stratified: bool = True
    standardise: Any = None
    class_names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Holdout({len(self.pool):,} rows to train and validate on, {len(self.test):,} to test on)"

    @cached_property
    def kept_pool(self) -> KeptRows:
        """The rows of the pool to evaluate on; what is read from elsewhere is kept while it fits."""
        return KeptRows(self.pool, 0 if self.pool.in_memory else MOST_BYTES)

    @cached_property
    def kept_test(self) -> KeptRows:
        """The test rows likewise."""
        return KeptRows(self.test, 0 if self.test.in_memory else MOST_BYTES)

    def measured(self, train: torch.Tensor) -> Standardise:
        """The statistics of the inputs of a repeat whose training rows are `train`.

        Large data is read once for all repeats: where rows are drawn at random, all rows of the pool are measured, of
        which a repeat's training rows are a sample; where parts differ, by time or by group or as they were given, its
        training rows are.
        """
        held = tensor_rows(self.pool, train)
        if held is None or byte_count(held[0].x) < MEASURED_ONCE:
            return Standardise.of_rows(self.pool, train, self.standardise)
        rows = torch.arange(len(self.pool)) if self.splitter.at_random else train
        key = checksum(rows)
        if key not in self._measured:
            self._measured[key] = Standardise.of_rows(self.pool, rows, self.standardise)
        return self._measured[key]

    def measured_targets(self, train: torch.Tensor) -> TargetScale | None:
        """The scale of numeric targets by the training rows `train`; None for other targets."""
        y, rows = self.pool_y, train
        if y is None and (held := tensor_rows(self.pool, train)) is not None:
            y, rows = held[0].y, held[1]
        return TargetScale.fit(y, rows) if y is not None and y.is_floating_point() else None

    @cached_property
    def _measured(self) -> dict[str, Standardise]:
        return {}

    def split(self, repeat: int, seeds: Seeds, fraction: float = 0.25) -> Split:
        """The training and validation rows of `repeat`.

        Args:
            repeat: 0, 1, ... seeds: the seed of each repeat, 0 to 2**32 - 1. fraction: of the rows that validate,
                unless the splitter has folds or splits of its own.

        Raises:
            InputError: rows that cannot be split so.
        """
        labels = self.pool_y if self.stratified else None
        try:
            return self.splitter.split(labels, len(self.pool), repeat, seeds, fraction)
        except ClassError as error:
            raise error.named(self.class_names) from None


def hold_out(source: Source, seed: int, fraction: float = 0.2) -> Holdout:
    """Set test rows apart: the source's own test data if it has some, else a `fraction` of its rows, by its splitter.

    With test data of its own the source's tensors are passed on without a copy, and `seed` and `fraction` play no part.
    Large tensors are not copied either: pool and test rows are then numbers of their rows.

    Raises:
        InputError: seed or fraction out of range, or a class with too few rows.
    """
    classes = source.target == "class"
    about = {"standardise": source.standardise, "class_names": source.class_names}
    if source.test_rows is not None:
        return Holdout(source.rows, source.y, source.test_rows, source.y_test, source.splitter, classes, **about)
    try:
        rows = source.splitter.hold_out(source.y if classes else None, len(source), seed, fraction)
    except ClassError as error:
        raise error.named(source.class_names) from None
    train, test = rows.train, rows.valid
    splitter = source.splitter.of_pool(train)
    if source.rows.in_memory and not is_large(source.x) and not is_large(source.y):
        pool, tested = (TensorRows(*source.rows.take(part)) for part in (train, test))
        return Holdout(pool, pool.y, tested, tested.y, splitter, classes, **about)
    # Large targets are left with their rows: only classes are needed to split.
    apart = classes or not is_large(source.y)
    y, test_y = (take(source.y, part) if apart else None for part in (train, test))
    return Holdout(SubsetRows(source.rows, train), y, SubsetRows(source.rows, test), test_y, splitter, classes, **about)


def split(pool: Holdout | torch.Tensor, seed: int, fraction: float = 0.25) -> Split:
    """Split rows at random into training and validation rows; those of classes, class by class.

    Args:
        pool: the rows, split by their `Splitter` as its first repeat; or their targets, of which int64 [rows] are
            classes.
        seed: 0 to 2**32 - 1; the same seed gives the same split.
        fraction: share of the rows that validate, in (0, 1).

    Raises:
        InputError: seed or fraction out of range, or a class with too few rows to be in both parts.
    """
    if isinstance(pool, Holdout):
        return pool.split(0, lambda _: seed, fraction)
    classes = pool.ndim == 1 and not pool.is_floating_point()
    return divided(pool if classes else None, len(pool), seed, fraction)
