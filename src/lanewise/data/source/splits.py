"""The pool that every repeat splits, and the rows kept for the one test at the end.

Splits follow the source's `Splitter`: by class unless it says otherwise.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from lanewise.data.arrays.class_errors import ClassError
from lanewise.data.arrays.nested import Inputs, Targets, take
from lanewise.data.rows.kept import MOST_BYTES, KeptRows
from lanewise.data.rows.rows import Rows, SubsetRows, TensorRows
from lanewise.data.source.source import Source
from lanewise.data.splitting.partition import Split, divided
from lanewise.data.splitting.splitter import Seeds, Splitter


@dataclass(frozen=True, eq=False, repr=False)
class Holdout:
    """The pool that every repeat splits, and the test rows, which are used once.

    Attributes:
        pool_x: inputs of the pool, in their stored type, nested as in the source; None where `pool` reads them.
        pool_y: targets of the pool, or None where there are none or where `pool` reads them.
        test_x: inputs of the test rows, in their stored type, or None as above.
        test_y: targets of the test rows, or None as above.
        splitter: how the pool is split. stratified: whether `pool_y` are classes.
        pool_reader, test_reader: where rows come from that are not held in memory.
        standardise: which inputs are standardised, as in the source. class_names: for messages.
    """

    pool_x: Inputs
    pool_y: Targets
    test_x: Inputs
    test_y: Targets
    splitter: Splitter = field(default_factory=Splitter)
    stratified: bool = True
    pool_reader: Rows | None = None
    test_reader: Rows | None = None
    standardise: Any = None
    class_names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"Holdout({len(self.pool):,} rows to train and validate on, {len(self.test):,} to test on)"

    @property
    def pool(self) -> Rows:
        """The rows of the pool, wherever they come from."""
        return TensorRows(self.pool_x, self.pool_y) if self.pool_reader is None else self.pool_reader

    @property
    def test(self) -> Rows:
        """The test rows, wherever they come from."""
        return TensorRows(self.test_x, self.test_y) if self.test_reader is None else self.test_reader

    @cached_property
    def kept_pool(self) -> KeptRows:
        """The rows of the pool to evaluate on; what is read from elsewhere is kept while it fits."""
        return KeptRows(self.pool, MOST_BYTES if self.pool_reader else 0)

    @cached_property
    def kept_test(self) -> KeptRows:
        """The test rows likewise."""
        return KeptRows(self.test, MOST_BYTES if self.test_reader else 0)

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

    Raises:
        InputError: seed or fraction out of range, or a class with too few rows.
    """
    classes = source.target == "class"
    if source.has_test:
        return Holdout(
            source.x,
            source.y,
            source.x_test,
            source.y_test,
            source.splitter,
            classes,
            source.reader,
            source.test_reader,
            source.standardise,
            source.class_names,
        )
    try:
        rows = source.splitter.hold_out(source.y if classes else None, len(source), seed, fraction)
    except ClassError as error:
        raise error.named(source.class_names) from None
    train, test = rows.train, rows.valid
    splitter = source.splitter.of_pool(train)
    y, test_y = take(source.y, train), take(source.y, test)
    if source.reader is not None:
        pool, tested = SubsetRows(source.reader, train), SubsetRows(source.reader, test)
        return Holdout(None, y, None, test_y, splitter, classes, pool, tested, source.standardise, source.class_names)
    x, test_x = take(source.x, train), take(source.x, test)
    told = {"standardise": source.standardise, "class_names": source.class_names}
    return Holdout(x, y, test_x, test_y, splitter, classes, **told)


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
