"""Who stays in the race after a rung. Pure functions of recorded scores: no torch, nothing drawn from a clock."""

from lanewise.racing.expected import expected_share, expected_survivors
from lanewise.racing.fixed import cut, halving, hyperband, kept_share, median, none
from lanewise.racing.lanewise_pruner import lanewise
from lanewise.racing.pruner import COMPUTE, RUNGS, Pruner, compute_for, ranked
from lanewise.racing.replay import replay
from lanewise.racing.table import DEFAULT, PRUNERS

__all__ = [
    "COMPUTE",
    "DEFAULT",
    "PRUNERS",
    "RUNGS",
    "Pruner",
    "compute_for",
    "cut",
    "expected_share",
    "expected_survivors",
    "halving",
    "hyperband",
    "kept_share",
    "lanewise",
    "median",
    "none",
    "ranked",
    "replay",
]
