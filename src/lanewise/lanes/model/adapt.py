"""What a recipe changes in the model itself: the kind of its normalisation."""

import copy
from typing import Any

from torch import Tensor, nn

from lanewise.errors import InputError
from lanewise.lanes.model.lane_layers import BATCH_NORMS, replace_layers
from lanewise.parts.lora.layers import Adapter
from lanewise.parts.norm import GhostBatchNorm, convert_norm
from lanewise.recipe.recipe import Recipe

KINDS = {"identity": "none"}
"""Recipe words that `convert_norm` calls otherwise; `none` in a recipe means that nothing is said."""


def adapted(model: nn.Module, recipe: Recipe, example: Tensor) -> nn.Module:
    """`model`, or a changed copy of it, with the normalisation of `recipe`.

    `norm` converts it to another kind, for which `example`, a batch, shows what each layer is given; `ghost` gives
    batch norm layers virtual batches.

    Raises:
        InputError: the layers cannot be converted, or there is no batch norm to give virtual batches, or no adapter
            that could have the recipe's alpha.
    """
    if recipe.lora_alpha is not None and not any(isinstance(layer, Adapter) for layer in model.modules()):
        raise InputError(f"lora_alpha = {recipe.lora_alpha}: the model has no adapters of lanewise.lora; must be none")
    if recipe.norm != "own":
        model = convert_norm(model, to=KINDS.get(recipe.norm, recipe.norm), groups=recipe.norm_groups, example=example)
    size = recipe.ghost
    if size is None:
        return model
    layers = [layer for layer in model.modules() if isinstance(layer, BATCH_NORMS)]
    if own := sorted({type(layer).__name__ for layer in layers if not is_plain(layer)}):
        raise InputError(
            f"ghost = {recipe.ghost}: the model has batch norm layers of its own that do more than torch's: "
            f"{', '.join(own)}; must be none, or use torch's layers"
        )
    if not layers:
        raise InputError(f"ghost = {recipe.ghost}: the model has no batch norm layer whose batch could be divided")
    return replace_layers(copy.deepcopy(model), lambda layer, _: ghost(layer, size))


def is_plain(layer: nn.Module) -> bool:
    """Whether a batch norm `layer` is torch's, or of a subclass that computes the same and holds nothing else."""
    kind = next(kind for kind in BATCH_NORMS if isinstance(layer, kind))
    same = all(getattr(type(layer), name) is getattr(kind, name) for name in ("forward", "__call__"))
    return same and vars(layer).keys() == vars(kind(1)).keys()


def ghost(module: nn.Module, virtual_size: int) -> nn.Module:
    """Ghost batch norm with the parameters and statistics of the batch norm `module`; any other layer as it is."""
    if not isinstance(module, BATCH_NORMS):
        return module
    layer: Any = module
    momentum = 0.1 if layer.momentum is None else layer.momentum
    tracked = layer.track_running_stats
    new = GhostBatchNorm(layer.num_features, virtual_size, layer.eps, momentum, layer.affine, tracked)
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        setattr(new, name, tensor)
    if layer.bias is None:
        new.register_parameter("bias", None)
    return new.train(layer.training)
