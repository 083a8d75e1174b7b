"""What a recipe changes in the model itself: the kind of its normalisation."""

import copy
from typing import Any

from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.model.lane_layers import BATCH_NORMS, replace_layers
from lanewise.parts.norm import GhostBatchNorm, convert_norm
from lanewise.recipe.recipe import Recipe

KINDS = {"identity": "none"}
"""Recipe words that `convert_norm` calls otherwise; `none` in a recipe means that nothing is said."""


def adapted(model: nn.Module, recipe: Recipe, example: Tensor) -> nn.Module:
    """`model`, or a changed copy of it, with the normalisation that `recipe` asks for.

    `norm` converts it to another kind, for which `example`, a batch, shows what each layer is given; `ghost` gives
    batch norm layers virtual batches.

    Raises:
        InputError: the model's layers cannot be converted, or there is no batch norm to give virtual batches.
    """
    if recipe.norm != "own":
        model = convert_norm(model, to=KINDS.get(recipe.norm, recipe.norm), groups=recipe.norm_groups, example=example)
    size = recipe.ghost
    if size is None:
        return model
    if not any(type(layer) in BATCH_NORMS for layer in model.modules()):
        raise InputError(f"ghost = {recipe.ghost}: the model has no batch norm layer whose batch could be divided")
    return replace_layers(copy.deepcopy(model), lambda layer, _: ghost(layer, size))


def ghost(layer: Any, virtual_size: int) -> nn.Module:
    """Ghost batch norm with the very parameters and statistics of a batch norm `layer`; any other layer as it is."""
    if type(layer) not in BATCH_NORMS:
        return layer  # type: ignore[no-any-return]
    momentum = 0.1 if layer.momentum is None else layer.momentum
    tracked = layer.track_running_stats
    new = GhostBatchNorm(layer.num_features, virtual_size, layer.eps, momentum, layer.affine, tracked)
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        setattr(new, name, tensor)
    if layer.bias is None:
        new.register_parameter("bias", None)
    return new.train(layer.training)
