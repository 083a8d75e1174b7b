"""What takes a module says in one line what it was given instead."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

import lanewise as lw

TAKERS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(lw, name) for name in ("roles", "role_groups", "layer_depths", "lint_norm", "fold_norm")},
    **{name: getattr(lw, name) for name in ("freeze_norm", "unfreeze_norm", "merge_lora", "lora")},
    **{name: getattr(lw, name) for name in ("AveragedWeights", "Penalty")},
    "convert_norm": lambda model: lw.convert_norm(model, "layer"),
    "reestimate": lambda model: lw.reestimate(model, []),
    "save_lora": lambda model: lw.save_lora(model, "nowhere"),
}


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "an int"),
        (None, "a NoneType"),
        ([nn.Linear(2, 2)], "a list"),
        (nn.Linear, "the class Linear"),
        (int, "the class int"),
    ],
)
def test_anything_else_is_refused(name: str, given: Any, words: str) -> None:
    hint = ", such as Linear(...)" if given is nn.Linear else ""
    with pytest.raises(lw.InputError) as caught:
        TAKERS[name](given)
    assert str(caught.value) == f"{name}: model is {words}: must be a torch.nn.Module{hint}"
