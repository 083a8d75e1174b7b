"""How many layers stand between a parameter and the output: what layer-wise rates and gradual unfreezing go by."""

from collections.abc import Iterator

from torch import nn

from lanewise.base.torch_modules import check_module
from lanewise.parts.roles import Role, roles

LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Containers whose entries are layers."""


def layer_depths(model: nn.Module) -> dict[str, int]:
    """The depth of the layer of every parameter of `model`, by its name: 0 for the last layer, which is the output.

    Layers come in the order in which the model defines them. An entry of a `Sequential` or `ModuleList` is one layer
    (a block of a transformer, a residual block), and so is any other module that holds no such list. A layer of
    normalisation alone, or of parameters that no layer holds (a class token), counts with the layer before it, and
    embeddings that follow each other count as one.

    Source: layer-wise learning rate decay as in ELECTRA (Clark et al., 2020) and BEiT (Bao et al., 2021).

    >>> layer_depths(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 1)))
    {'0.weight': 1, '0.bias': 1, '1.weight': 1, '1.bias': 1, '3.weight': 0, '3.bias': 0}
    """
    check_module("layer_depths", model)
    kinds = roles(model)
    first = {id(param): name for name, param in model.named_parameters()}
    layers: list[list[str]] = []
    taken: set[str] = set()
    before = ""
    for of_container, params in _layers(_inner(model)):
        names = [name for name in dict.fromkeys(first[id(param)] for param in params) if name not in taken]
        if not names:
            continue
        taken.update(names)
        kind = "joins" if of_container or all(kinds[name] is Role.NORM for name in names) else ""
        kind = kind or ("embedding" if all(kinds[name] is Role.EMBEDDING for name in names) else "layer")
        if layers and (kind == "joins" or before == "joins" or kind == before == "embedding"):
            layers[-1] += names
            before = before if kind == "joins" and before != "joins" else kind
        else:
            layers.append(names)
            before = kind
    of = {name: len(layers) - 1 - at for at, names in enumerate(layers) for name in names}
    return {name: of[name] for name in first.values()}


def _inner(model: nn.Module) -> nn.Module:
    """`model`, or what it wraps where it does nothing but that."""
    children = [child for child in model.children() if any(True for _ in child.parameters())]
    if len(children) == 1 and not list(model.parameters(recurse=False)) and list(children[0].children()):
        return _inner(children[0])
    return model


def _layers(container: nn.Module) -> Iterator[tuple[bool, list[nn.Parameter]]]:
    """(whether no layer inside holds them, parameters) of each layer of `container`, in order."""
    own = list(container.parameters(recurse=False))
    if own:
        # Those of a module without others inside are its layer.
        yield bool(list(container.children())), own
    for child in container.children():
        in_list = isinstance(container, LISTS) and not isinstance(child, LISTS)
        holds_list = any(isinstance(inner, LISTS) for inner in child.modules())
        if holds_list and not in_list:
            yield from _layers(child)
        else:
            yield False, list(child.parameters())
