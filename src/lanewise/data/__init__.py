"""Data: sources, splits, standardised inputs."""

from lanewise.data.source import BUILT_IN, Source, load
from lanewise.data.splits import Held, Split, hold_out, split
from lanewise.data.standardise import Standardise
from lanewise.data.targets import IGNORED, Target, TargetScale

__all__ = [
    "BUILT_IN",
    "IGNORED",
    "Held",
    "Source",
    "Split",
    "Standardise",
    "Target",
    "TargetScale",
    "hold_out",
    "load",
    "split",
]
