"""Who stays in the race after a rung. Pure functions of recorded scores: no torch, nothing drawn from a clock."""

from lanewise.study.racing.expected import expected_share, expected_survivors
from lanewise.study.racing.fixed import cut, halving, hyperband, kept_share, median, none
from lanewise.study.racing.lanewise_rule import lanewise
from lanewise.study.racing.replay import replay
from lanewise.study.racing.rule import COMPUTE, RUNGS, Rule, compute_for, ranked
from lanewise.study.racing.table import DEFAULT, RULES

__all__ = [
    "COMPUTE",
    "DEFAULT",
    "RULES",
    "RUNGS",
    "Rule",
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
