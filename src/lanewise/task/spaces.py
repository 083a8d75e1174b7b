"""The spaces that are made from a task: what is known of it, its space by name, and its recipes of habit."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.base.torch_modules import AnyBatchNorm
from lanewise.data.arrays.nested import leaves
from lanewise.errors import InputError, a_type
from lanewise.parts.dropout import Dropout
from lanewise.parts.groups import layer_depths
from lanewise.parts.norm import convert_norm
from lanewise.parts.part import Allowed, check_number
from lanewise.parts.roles import Role, roles
from lanewise.parts.stochastic_depth import StochasticDepth
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import KINDS, Facts, classic, suited
from lanewise.recipe.spaces import portfolio as recipes_of_habit
from lanewise.recipe.spaces.suited import told
from lanewise.task.models import seeded
from lanewise.task.task import Task

RECURRENT = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Embedding, nn.EmbeddingBag)
DROPPING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
TEST_SHARE, VALID_SHARE = 0.2, 0.25
"""Shares of the examples that are set apart where the data brings no split of its own."""
SPREAD = 0.15
"""Share by which mean and largest size of new weights may differ from draw to draw."""
ALIKE = 0.5
"""Share of the weights that must not depend on the seed for them to count as pretrained."""


def auto(task: Task, kind: str | None = None, *, epochs: int | None = None, batch_size: int | None = None) -> Recipe:
    """The space that suits `task`, made from its model, data and objective: the default of `race`.

    Args:
        task: model, data, objective.
        kind: `vision`, `text`, `table` or `finetune`, where it is to be taken as one of that kind; by default what it
            looks like.
        epochs: of a run, 20 by default. batch_size: by default one or two that fit the examples.

    Raises:
        InputError: there is no such kind.
    """
    return suited(facts_of(task, kind, epochs, batch_size))


def portfolio(task: Task, space: Recipe | None = None) -> dict[str, Recipe]:
    """The recipes that people use by habit, by name, as they fit `task`; the first is the usual default.

    Args:
        space: whose batch size and epochs they take where these are fixed.
    """
    if space is not None and not isinstance(space, Recipe):
        raise InputError(f"space is {a_type(space)}: must be a recipe with ranges")
    return recipes_of_habit(facts_of(task), space)


def built_in_spaces(task: Task) -> dict[str, Callable[[int | None, int | None], Recipe]]:
    """Each built-in space for `task`, by name, as a function of its epochs and batch size, where these are given."""
    facts = facts_of(task)

    def made(about: Facts) -> Callable[[int | None, int | None], Recipe]:
        return lambda epochs, batch_size: suited(
            replace(about, epochs=Recipe().epochs if epochs is None else epochs, batch_size=batch_size)
        )

    return {
        "auto": made(facts),
        "classic": lambda epochs, batch_size: classic(),
        **{kind: made(facts.of_kind(kind)) for kind in KINDS},
    }


def space_by_name(
    task: Task, name: str, epochs: int | None = None, batch_size: int | None = None
) -> tuple[Recipe, list[str]]:
    """(the built-in space `name` for `task`, what to say of it in a few lines)."""
    if name == "classic":
        return classic(), []
    facts = facts_of(task, name if name in KINDS else None, epochs, batch_size)
    return suited(facts), told(facts, name)


def facts_of(task: Task, kind: str | None = None, epochs: int | None = None, batch_size: int | None = None) -> Facts:
    """What is known of `task`, or what is taken to be where `kind` says so."""
    if not isinstance(task, Task):
        raise InputError(f"task is {a_type(task)}: must be a lanewise.Task(model, data)")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_number(name, value, Allowed(1, integer=True, optional=True))
    # What is wrong with the model is said here as everywhere.
    task.check_model()
    model, source, objective = task.new_model(0), task.source, task.objective
    modules = list(model.modules())
    trained = {name: one.requires_grad for name, one in model.named_parameters(remove_duplicate=False)}
    norms = [module for module in modules if isinstance(module, AnyBatchNorm)]
    blends = objective.mixes and all(leaf.is_floating_point() for leaf in leaves(task.sample()[0]))
    other = task.new_model(1)
    pretrained = is_pretrained(model, other)
    found = Facts(
        rows=training_rows(task),
        epochs=Recipe().epochs if epochs is None else epochs,
        batch_size=batch_size,
        pictures=source.is_image,
        sequence=source.target == "tokens" or any(isinstance(module, RECURRENT) for module in modules),
        pretrained=pretrained,
        smooths=objective.smooths,
        mixes=blends,
        matrices=any(one is Role.WEIGHT and trained[name] for name, one in roles(model).items()),
        dropout=tuple(dropout_rates(modules)),
        depth=tuple(module.rate for module in modules if isinstance(module, StochasticDepth)),
        norm_momentum=tuple(norm.momentum for norm in norms),
        converts=bool(norms) and converts(model),
        imbalance=imbalance(source.y if source.target == "class" else None),
        weighed=getattr(objective, "weights", None) is not None,
        layers=len({depth for name, depth in layer_depths(model).items() if trained[name]}),
        new_parts=tuple(new_parts(model, other)) if pretrained else (),
    )
    return found if kind is None else found.of_kind(kind)


def training_rows(task: Task) -> int:
    """About how many examples a run trains on."""
    source, rows = task.source, len(task.source)
    splitter = source.splitter
    if splitter.splits:
        return len(splitter.splits[0][0])
    pool = rows if source.test_rows is not None else rows * (1 - TEST_SHARE)
    share = VALID_SHARE if splitter.folds is None else 1 / splitter.folds
    return max(1, round(pool * (1 - share)))


def dropout_rates(modules: list[nn.Module]) -> Iterator[float]:
    """The rate of every dropout layer."""
    for module in modules:
        if isinstance(module, Dropout) and not isinstance(module, StochasticDepth):
            yield module.rate
        elif isinstance(module, DROPPING):
            yield module.p


def converts(model: nn.Module) -> bool:
    """Whether every norm of `model` can become a layer norm."""
    try:
        convert_norm(model, "layer")
    except InputError:
        return False
    return True


def is_pretrained(model: nn.Module, other: nn.Module) -> bool:
    """Whether most weights of `model` are those of `other`, made with another seed, so that they come from elsewhere.

    Weights that are constant (zeros, ones) say nothing; those that look as layers draw them at first come from a seed
    that the model sets itself.
    """
    others = dict(other.named_parameters())
    same = total = 0
    for path, module in model.named_modules():
        for own, parameter in module.named_parameters(path, recurse=False):
            if not says_something(parameter):
                continue
            total += parameter.numel()
            known = torch.equal(parameter, others[own]) and not looks_new(module, own.rpartition(".")[2])
            same += parameter.numel() * known
    return same > ALIKE * total


def says_something(parameter: Tensor) -> bool:
    """Whether `parameter` is drawn or learnt, and no constant."""
    return parameter.numel() > 1 and not bool((parameter == parameter.flatten()[0]).all())


def new_parts(model: nn.Module, other: nn.Module, path: str = "") -> Iterator[str]:
    """The names, `fc.*`, of the largest parts of `model` all of whose weights differ from those of `other`.

    Args:
        other: the model made with another seed. path: of both in the whole model.
    """
    others = dict(other.named_parameters())
    drawn = [
        not torch.equal(parameter, others[name])
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and says_something(parameter)
    ]
    if drawn and all(drawn):
        # All that trains is new, as adapters are: there is nothing to set it apart from.
        yield from [f"{path}*"] * bool(path)
    elif any(drawn):
        for name, child in model.named_children():
            yield from new_parts(child, other.get_submodule(name), f"{path}{name}.")


def looks_new(module: nn.Module, name: str) -> bool:
    """Whether the parameter `name` of `module` spreads as `reset_parameters` of its layer would let it."""
    if not callable(getattr(module, "reset_parameters", None)):
        return False
    try:
        with seeded(0):
            new: Any = copy.deepcopy(module)
            new.reset_parameters()
    except Exception:
        # A layer that cannot be copied, or whose function takes arguments, is not one of torch's own.
        return False
    drawn, found = (getattr(one, name).detach().double().abs() for one in (new, module))
    return all(
        abs(float(measure(found)) - float(measure(drawn))) <= SPREAD * float(measure(drawn))
        for measure in (torch.Tensor.mean, torch.Tensor.max)
    )


def imbalance(labels: Tensor | None) -> float:
    """Examples of the largest class divided by those of the smallest; 1 where there are no classes."""
    if labels is None:
        return 1.0
    counts = torch.bincount(labels)
    return float(counts.max() / counts[counts > 0].min())
