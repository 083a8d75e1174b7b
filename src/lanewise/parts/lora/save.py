"""Adapters alone, in a folder that PEFT reads."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from lanewise.base.files import write_whole
from lanewise.base.torch_modules import check_module, is_persistent, own_buffers
from lanewise.errors import InputError
from lanewise.parts.lora.layers import AdaptedLayer, Adapter, LoraConv2d, LoraEmbedding, LoraTransposed, LoraWeight

PREFIX = "base_model.model."
"""Of every name in PEFT's files."""


def save_lora(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Write the adapters of `model`, and what else of it trains, as PEFT's `save_pretrained` does.

    `PeftModel.from_pretrained(base, folder)` gives the same outputs, `base` being the model that `lora` was given.
    The folder holds `adapter_model.safetensors` and `adapter_config.json`.

    Raises:
        InputError: `model` has no adapters of `lora`, adapters of several alphas, or such as PEFT (0.21)
            computes otherwise: of `nn.MultiheadAttention`, and of dilated convolutions.
    """
    check_module("save_lora", model)
    tensors, targets = dict[str, Tensor](), list[str]()
    found = [module for module in model.modules() if isinstance(module, Adapter)]
    if not found:
        raise InputError("save_lora: the model has no adapters of lora")
    alphas = {adapter.alpha for adapter in found}
    if len(alphas) > 1:
        raise InputError(f"save_lora: the adapters have alpha {sorted(alphas)}: must be one number in PEFT's file")
    kept = dict[str, nn.Module]()
    for path, module in model.named_modules():
        if isinstance(module, AdaptedLayer):
            if isinstance(module, LoraConv2d) and any(step != 1 for step in module.dilation):
                raise InputError(
                    f"save_lora: PEFT leaves out the dilation of the adapted convolution {path!r}, so that its outputs "
                    "would be others; save the model of merge_lora"
                )
            targets.append(path)
            tensors |= matrices(path, module)
        elif isinstance(module, LoraWeight):
            raise InputError(
                "save_lora: PEFT adds the adapter of the output layer of nn.MultiheadAttention twice, so that its "
                f"outputs would be others ({path.partition('.parametrizations')[0]}); save the model of merge_lora"
            )
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
