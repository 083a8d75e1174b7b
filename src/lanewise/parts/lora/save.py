"""Adapters alone, in a folder that PEFT reads."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from lanewise.base.files import write_whole
from lanewise.base.torch_modules import is_persistent, own_buffers
from lanewise.errors import InputError
from lanewise.parts.lora.layers import AdaptedLayer, Adapter, LoraEmbedding, LoraTransposed, LoraWeight

PREFIX = "base_model.model."
"""Of every name in PEFT's files."""


def save_lora(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Write the adapters of `model`, and what else of it trains, as PEFT's `save_pretrained` does.

    `PeftModel.from_pretrained(base, folder)` gives the same outputs, `base` being the model that `lora` was given.
    The folder holds `adapter_model.safetensors` and `adapter_config.json`.

    Raises:
        InputError: `model` has no adapters of `lora`, or adapters of several alphas.
    """
    tensors, targets = dict[str, Tensor](), list[str]()
    found = [module for module in model.modules() if isinstance(module, Adapter)]
    if not found:
        raise InputError("save_lora: the model has no adapters of lora")
    alphas = {float(adapter.lora_alpha) for adapter in found}
    if len(alphas) > 1:
        raise InputError(f"save_lora: the adapters have alpha {sorted(alphas)}: must be one number in PEFT's file")
    kept = dict[str, nn.Module]()
    for path, module in model.named_modules():
        if isinstance(module, AdaptedLayer):
            targets.append(path)
            tensors |= matrices(path, module)
        elif isinstance(module, LoraWeight):
            place, target = attention_place(path)
            targets += [target] if target else []
            tensors |= matrices(place, module)
        elif any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            kept[path] = module
    for path, module in kept.items():
        state = dict(module.named_parameters(recurse=False)) | {
            name: buffer
            for name, buffer in own_buffers(module).items()
            if buffer is not None and is_persistent(module, name)
        }
        tensors |= {f"{PREFIX}{path}.{name}": tensor for name, tensor in state.items()}
    adapter = found[0]
    dropouts = {
        layer.lora_dropout.p
        for layer in found
        if isinstance(layer, AdaptedLayer) and isinstance(layer.lora_dropout, nn.Dropout)
    }
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": adapter.rank,
        "lora_alpha": alphas.pop(),
        "lora_dropout": max(dropouts, default=0.0),
        "use_rslora": adapter.rslora,
        "target_modules": targets,
        "modules_to_save": list(kept) or None,
        "fan_in_fan_out": any(isinstance(layer, LoraTransposed) for layer in found),
        "bias": "none",
    }
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(where / "adapter_model.safetensors", safetensors.torch.save(plain, {"format": "pt"}))
    write_whole(where / "adapter_config.json", json.dumps(config, indent=2).encode())


def attention_place(path: str) -> tuple[str, str]:
    """PEFT's place of the parametrisation at `path`, and the attention layer that it makes a target, if it is that.

    >>> attention_place("attn.parametrizations.in_proj_weight.0")
    ('attn', 'attn')
    >>> attention_place("attn.out_proj.parametrizations.weight.0")
    ('attn.base_layer.out_proj', '')
    """
    owner, _, rest = path.rpartition("parametrizations.")
    owner, name = owner.removesuffix("."), rest.partition(".")[0]
    if name == "in_proj_weight":
        return owner, owner
    if name == "weight":
        attention, _, child = owner.rpartition(".")
        return f"{attention}.base_layer.{child}".lstrip("."), ""
    raise InputError(f"save_lora: {owner!r} has a weight of its own for keys or values, which PEFT does not adapt")


def matrices(path: str, adapter: Adapter) -> dict[str, Tensor]:
    """A and B of `adapter` under PEFT's names."""
    names = (
        ("lora_embedding_A", "lora_embedding_B")
        if isinstance(adapter, LoraEmbedding)
        else ("lora_A.weight", "lora_B.weight")
    )
    return {
        f"{PREFIX}{path}.{name}": matrix for name, matrix in zip(names, (adapter.lora_A, adapter.lora_B), strict=True)
    }
