"""Data: sources, splits, standardised inputs."""

from lanewise.data.source import BUILT_IN, Source, load
from lanewise.data.splits import Held, Split, hold_out, split
from lanewise.data.standardise import Standardise

__all__ = ["BUILT_IN", "Held", "Source", "Split", "Standardise", "hold_out", "load", "split"]
