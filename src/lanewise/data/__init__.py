"""Data: sources, splits, standardised inputs."""

from lanewise.data.dataset_rows import DatasetRows
from lanewise.data.iterable_rows import IterableRows
from lanewise.data.loading import BUILT_IN, load
from lanewise.data.partition import Split
from lanewise.data.rows import EVALUATION_SEED, Rows, TensorRows, sample
from lanewise.data.source import Source
from lanewise.data.splits import Held, hold_out, split
from lanewise.data.splitter import Splitter
from lanewise.data.standardise import Standardise
from lanewise.data.targets import IGNORED, Target, TargetScale, balanced_weights

__all__ = [
    "BUILT_IN",
    "EVALUATION_SEED",
    "IGNORED",
    "DatasetRows",
    "Held",
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
