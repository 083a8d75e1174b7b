"""The rules by name."""

from lanewise.study.racing.fixed import cut, halving, hyperband, median, none
from lanewise.study.racing.lanewise_rule import lanewise
from lanewise.study.racing.rule import Rule

DEFAULT = "lanewise"
RULES: dict[str, Rule] = {
    "lanewise": lanewise,
    "cut": cut,
    "halving": halving,
    "hyperband": hyperband,
    "median": median,
    "none": none,
}
