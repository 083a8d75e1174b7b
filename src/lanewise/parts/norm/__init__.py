"""Normalisation: batch norm and its ghost, conversion, freezing, folding, re-estimation, averages and a lint."""

from lanewise.parts.norm.average import AveragedWeights, exponential_average, uniform_average
from lanewise.parts.norm.batch_norm import batch_norm, cumulative_momentum
from lanewise.parts.norm.convert import BatchNormLast, GroupNormLast, convert_norm
from lanewise.parts.norm.fold import Folded, fold_norm
from lanewise.parts.norm.freeze import Frozen, freeze_norm, unfreeze_norm
from lanewise.parts.norm.ghost import GhostBatchNorm, ghost_batch_norm
from lanewise.parts.norm.lint import NormFinding, lint_norm, variance_shift
from lanewise.parts.norm.reestimate import Reestimated, reestimate
from lanewise.parts.norm.statistics import Statistics, merged

__all__ = [
    "AveragedWeights",
    "BatchNormLast",
    "Folded",
    "Frozen",
    "GhostBatchNorm",
    "GroupNormLast",
    "NormFinding",
    "Reestimated",
    "Statistics",
    "batch_norm",
    "convert_norm",
    "cumulative_momentum",
    "exponential_average",
    "fold_norm",
    "freeze_norm",
    "ghost_batch_norm",
    "lint_norm",
    "merged",
    "reestimate",
    "unfreeze_norm",
    "uniform_average",
    "variance_shift",
]
