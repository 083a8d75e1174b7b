"""What the main calls say in one line of things of the wrong type, and where they say it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import lanewise as lw

ROWS = (torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2)
RECIPE = lw.Recipe(epochs=1, batch_size=8)


def task() -> lw.Task:
    return lw.Task(lambda: nn.Linear(3, 2), ROWS)


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "race": (lambda: lw.race(3), "task is an int: must be a lanewise.Task(model, data)"),
    "auto": (lambda: lw.auto([]), "task is a list: must be a lanewise.Task(model, data)"),
    "auto, class": (lambda: lw.auto(nn.Linear), "task is the class Linear: must be a lanewise.Task(model, data)"),
    "auto, epochs": (lambda: lw.auto(task(), epochs="a"), "epochs = 'a': must be an integer in [1, inf)"),
    "auto, batch": (lambda: lw.auto(task(), batch_size=0), "batch_size = 0: must be an integer in [1, inf)"),
    "portfolio": (lambda: lw.portfolio(task(), 3), "space is an int: must be a recipe with ranges"),
    "space": (lambda: lw.race(task(), 3), "space is an int: must be a recipe with ranges, auto, classic"),
    "compare": (lambda: lw.compare(task(), 3), "recipes is an int: must map names to recipes, or to the paths"),
    "compare, names": (lambda: lw.compare(task(), ["a.yaml"]), "recipes is a list: must map names to recipes"),
    "ablate": (lambda: lw.ablate(task(), 3), "recipe: is an int; must be a recipe or the path of its file"),
    "resume": (lambda: lw.resume(3), "folder is an int: must be a path"),
    "load_model": (lambda: lw.load_model(None), "path is a NoneType: must be a path"),
    "Metric": (lambda: lw.Metric("mine", 3), "metric: is given 'mine' and an int: must be a name and a function"),
    "Penalty": (lambda: lw.Penalty(nn.Linear(2, 2), select=3), "select = 3: must be a function of name and parameter"),
    "roles": (lambda: lw.roles(nn.Linear(2, 2), 3), "also is an int: must map module types to one of weight, bias"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_wrong_type_is_named_with_what_is_allowed(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(lw.InputError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
