"""Groups of parameters with numbers of their own: by their names, and by the depth of their layer."""

from lanewise.parts.groups.depths import layer_depths
from lanewise.parts.groups.group import ParameterGroup, Times, times
from lanewise.parts.groups.matching import check_trains, group_of

__all__ = ["ParameterGroup", "Times", "check_trains", "group_of", "layer_depths", "times"]
