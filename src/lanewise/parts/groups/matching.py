"""Which group each parameter of a model is in."""

import difflib
import fnmatch
from collections.abc import Sequence

from torch import nn

from lanewise.errors import InputError
from lanewise.parts.groups.group import WHOLE_RUN, ParameterGroup

NAMES_SHOWN = 12
"""Names of parameters that a message lists."""


def group_of(model: nn.Module, groups: Sequence[ParameterGroup]) -> dict[str, int]:
    """The position in `groups` of the group that each parameter of `model` is in, by name; others are in none.

    A tied parameter, which has several names, is in the group that fits any of them.

    Raises:
        InputError: a group fits no parameter that trains, or two fit the same parameter.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> group_of(model, [ParameterGroup("1.*", lr=0.1)])
    {'1.weight': 0, '1.bias': 0}
    """
    first = {id(param): name for name, param in model.named_parameters()}
    named = dict(model.named_parameters(remove_duplicate=False))
    found: dict[str, int] = {}
    for at, group in enumerate(groups):
        fitting = fnmatch.filter(named, group.parameters)
        where = f"groups: {group.parameters!r}"
        if not fitting:
            raise InputError(
                f"{where} fits no parameter{near(group.parameters, named)}; must fit some of {some(named)}"
            )
        if not any(named[name].requires_grad for name in fitting):
            trained = [name for name, param in named.items() if param.requires_grad]
            raise InputError(f"{where} fits frozen parameters only; must fit some of {some(trained)}")
        for name in dict.fromkeys(first[id(named[name])] for name in fitting):
            if name in found:
                other = groups[found[name]].parameters
                raise InputError(f"groups: {other!r} and {group.parameters!r} both fit {name}; one group at most may")
            found[name] = at
    return found


def check_trains(model: nn.Module, groups: Sequence[ParameterGroup], of: dict[str, int]) -> None:
    """Raise `InputError` if no parameter of `model` ever trains; `of` is what `group_of` found."""
    trained = [name for name, param in model.named_parameters() if param.requires_grad]
    if trained and all(name in of and groups[of[name]].freeze == WHOLE_RUN for name in trained):
        raise InputError("groups: freeze all parameters for the whole run; some must train")


def near(pattern: str, names: dict[str, nn.Parameter]) -> str:
    """` (did you mean head.*?)`, of the starts of names, or nothing where none is like `pattern`."""
    starts = {".".join(name.split(".")[:size]) for name in names for size in range(1, name.count(".") + 1)}
    wanted = pattern.removesuffix(".*")
    close = difflib.get_close_matches(wanted, sorted(starts), n=1)
    return f" (did you mean {close[0]}.*?)" if close and wanted != close[0] else ""


def some(names: Sequence[str] | dict[str, nn.Parameter]) -> str:
    """The first of `names`, and how many more there are."""
    listed = list(names)
    more = len(listed) - NAMES_SHOWN
    return ", ".join(listed[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
