"""Data: sources, splits, standardised inputs."""

from lanewise.data.arrays.target_scale import TargetScale
from lanewise.data.arrays.targets import IGNORED, Target, balanced_weights
from lanewise.data.loading import BUILT_IN, load
from lanewise.data.rows.dataset_rows import DatasetRows
from lanewise.data.rows.iterable_rows import IterableRows
from lanewise.data.rows.rows import EVALUATION_SEED, Rows, TensorRows, sample
from lanewise.data.source.source import Source
from lanewise.data.source.splits import Holdout, hold_out, split
from lanewise.data.source.standardise import Standardise
from lanewise.data.splitting.partition import Split
from lanewise.data.splitting.splitter import Splitter

__all__ = [
    "BUILT_IN",
    "EVALUATION_SEED",
    "IGNORED",
    "DatasetRows",
    "Holdout",
    "IterableRows",
    "Rows",
    "Source",
    "Split",
    "Splitter",
    "Standardise",
    "Target",
    "TargetScale",
    "TensorRows",
    "balanced_weights",
    "hold_out",
    "load",
    "sample",
    "split",
]
