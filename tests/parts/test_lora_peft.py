"""Adapters saved for PEFT, and models that PEFT has adapted."""

import copy
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import lanewise as lw
from tests.parts.test_lora import KINDS, Tiny, shaken, tokens

NORM = "body.layers.1.norm2"


def saved(folder: Path) -> nn.Module:
    model = shaken(lw.lora(Tiny(), rank=2, targets=["linear1", "embed"], alpha=3.0, train=f"{NORM}.*"))
    lw.save_lora(model, folder / "made")
    return model


def test_files_have_the_names_of_peft(tmp_path: Path) -> None:
    model = saved(tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / "made" / "adapter_model.safetensors")
    config = json.loads((tmp_path / "made" / "adapter_config.json").read_text())
    first = "base_model.model.body.layers.0.linear1.lora_A.weight"
    assert torch.equal(tensors[first], model.body.layers[0].linear1.lora_A)
    assert {name for name in tensors if "embed" in name} == {
        "base_model.model.embed.lora_embedding_A",
        "base_model.model.embed.lora_embedding_B",
    }
    assert {name for name in tensors if NORM in name} == {f"base_model.model.{NORM}.{n}" for n in ("weight", "bias")}
    assert len(tensors) == 8
    assert (config["r"], config["lora_alpha"], config["modules_to_save"]) == (2, 3.0, [NORM])
    assert config["target_modules"] == ["embed", "body.layers.0.linear1", "body.layers.1.linear1"]


def test_what_peft_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lw.InputError, match=r"output layer of nn\.MultiheadAttention twice"):
        lw.save_lora(lw.lora(Tiny()), tmp_path)
    with pytest.raises(lw.InputError, match="no adapters"):
        lw.save_lora(Tiny(), tmp_path)
    with pytest.raises(lw.InputError, match="leaves out the dilation of the adapted convolution '0'"):
        lw.save_lora(lw.lora(nn.Sequential(nn.Conv2d(1, 1, 3, dilation=2)), targets="0"), tmp_path)
    model = lw.lora(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    model[1].lora_alpha.fill_(3.0)
    with pytest.raises(lw.InputError, match=r"have alpha \[3\.0, 8\.0\]"):
        lw.save_lora(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["linear", "convolution", "embedding"])
@pytest.mark.parametrize("rslora", [False, True])
def test_peft_loads_what_was_saved(kind: str, rslora: bool, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    make, inputs = KINDS[kind] if kind != "convolution" else (lambda: nn.Conv2d(3, 4, 3, stride=2), KINDS[kind][1])
    base, x = nn.Sequential(make()), inputs()
    model = shaken(lw.lora(base, rank=2, targets="0", alpha=3.0, rslora=rslora))
    lw.save_lora(model, tmp_path)
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path)
    assert torch.allclose(loaded(x), model(x), atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_peft_loads_what_trained_beside_adapters(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    base = Tiny()
    model = shaken(lw.lora(base, rank=2, targets=["linear1", "embed"], train=f"{NORM}.*"))
    nn.init.uniform_(model.get_submodule(NORM).weight)
    lw.save_lora(model, tmp_path)
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path)
    # In training mode, for PEFT's adapters are passed by where encoder layers take the faster way of evaluation.
    assert torch.allclose(loaded.train()(tokens()), model.train()(tokens()), atol=1e-6)
