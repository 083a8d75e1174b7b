"""A split of the data with the statistics of its training rows, and the seeds of all that is drawn for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lanewise.data import Holdout, Split, Standardise, TargetScale
from lanewise.data.arrays.nested import Inputs, Targets, mapped, take
from lanewise.data.rows.items import Batch
from lanewise.data.rows.rows import targets_of
from lanewise.lanes.machine.streams import stream_seed
from lanewise.metrics import Unit


@dataclass(frozen=True, eq=False)
class Repeat:
    """One split of the pool with the statistics of its training rows, and the seed of its streams.

    Attributes:
        index: names the repeat's random streams; repeats of the race count from 0, fresh ones go on from there.
        target_scale: of numeric targets, or None.
    """

    index: int
    study_seed: int
    holdout: Holdout
    split: Split
    scale: Standardise
    target_scale: TargetScale | None = None

    @classmethod
    def draw(cls, holdout: Holdout, study_seed: int, index: int) -> "Repeat":
        """The repeat `index` of a study: which rows train and which validate follows from the seed alone."""
        rows = split_of(holdout, study_seed, index)
        return cls(index, study_seed, holdout, rows, *scales(holdout, rows.train))

    def of_all_rows(self) -> "Repeat":
        """The same in which all rows of the pool train, and none validate."""
        everything = torch.arange(len(self.holdout.pool))
        scale, target_scale = scales(self.holdout, everything)
        return replace(self, split=Split(everything, everything[:0]), scale=scale, target_scale=target_scale)

    def rows(self, index: Tensor, dtype: torch.dtype, device: torch.device) -> tuple[Inputs, Targets]:
        """(inputs, targets) of the rows `index` of the pool, standardised."""
        return self.scaled(self.holdout.pool.take(index), dtype, device)

    def evaluated(
        self, parts: Sequence[Tensor], dtype: torch.dtype, device: torch.device, test: bool = False
    ) -> Iterator[tuple[Inputs, Targets]]:
        """(inputs, targets) of each of `parts` of the pool's rows, or of the test rows', standardised."""
        rows = self.holdout.kept_test if test else self.holdout.kept_pool
        return (self.scaled(batch, dtype, device) for batch in rows.batches(parts))

    def scaled(self, batch: Batch, dtype: torch.dtype, device: torch.device) -> tuple[Inputs, Targets]:
        """Rows as they are stored, as lanes are given them."""
        x, y = batch
        moved = mapped(lambda leaf: leaf.to(device), self.scale.apply(x, dtype))
        if self.target_scale is not None and y is not None:
            y = self.target_scale.apply(y, dtype)
        return moved, None if y is None else y.to(device)

    def targets(self, rows: Tensor, test: bool = False) -> Targets:
        """The targets of `rows` of the pool, or of the test rows, as they are stored."""
        holdout = self.holdout
        y, everything = (holdout.test_y, holdout.test) if test else (holdout.pool_y, holdout.pool)
        return targets_of(everything, rows) if y is None else take(y, rows)

    @property
    def unit(self) -> Unit | None:
        """The unit that numeric targets are trained on, or None."""
        scale = self.target_scale
        return None if scale is None else Unit(scale.mean.numpy(), scale.std.numpy())

    @property
    def weight_seed(self) -> int:
        """The seed of the initial weights, the same for all candidates."""
        return stream_seed(self.study_seed, self.index, "weights")

    @property
    def evaluation_seed(self) -> int:
        """The seed of what a model draws itself when it is evaluated."""
        return stream_seed(self.study_seed, self.index, "evaluation")


def split_of(holdout: Holdout, study_seed: int, index: int) -> Split:
    """Which rows train and which validate in the repeat `index` of a study."""
    return holdout.split(index, lambda repeat: stream_seed(study_seed, repeat, "split") % 2**32)


def scales(holdout: Holdout, rows: Tensor) -> tuple[Standardise, TargetScale | None]:
    """The statistics of `rows` of the pool: of its inputs, and of its targets where they are numbers.

    Inputs that are read from elsewhere are measured by a sample, see `lanewise.data.sample`, and large ones once for
    all repeats, see `Holdout.measured`.
    """
    return holdout.measured(rows), holdout.measured_targets(rows)
