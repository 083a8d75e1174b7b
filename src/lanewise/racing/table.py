"""The pruners by name."""

from lanewise.racing.fixed import cut, halving, hyperband, median, none
from lanewise.racing.lanewise_pruner import lanewise
from lanewise.racing.pruner import Pruner

DEFAULT = "lanewise"
PRUNERS: dict[str, Pruner] = {
    "lanewise": lanewise,
    "cut": cut,
    "halving": halving,
    "hyperband": hyperband,
    "median": median,
    "none": none,
}
