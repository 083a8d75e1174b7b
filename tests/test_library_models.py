"""Models of timm and Transformers by name: fitted to the data, trained, saved, and refused in one line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lanewise as lw
from lanewise.predictor import save_model
from lanewise.train import train

pytestmark = pytest.mark.filterwarnings("ignore")
Y = torch.arange(40) % 4
TOKENS = torch.randint(0, 50, (40, 8), generator=torch.Generator().manual_seed(1))
PICTURES = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(2))
SMALL = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
BERT = "transformers:bert?" + "&".join(f"{name}={value}" for name, value in {**SMALL, "vocab_size": 50}.items())
GPT = "transformers:gpt2?n_embd=16&n_layer=1&n_head=2&vocab_size=50&n_positions=16"
VIT = "transformers:vit?patch_size=8&" + "&".join(f"{name}={value}" for name, value in SMALL.items())
FEW = lw.Recipe(optimizer=lw.AdamW(lr=0.001), batch_size=16, epochs=1)

FITTED: dict[str, tuple[str, Any, list[int]]] = {
    "classes of text": (BERT, (TOKENS, Y), [2, 4]),
    "numbers of text": (BERT, (TOKENS, torch.rand(40)), [2]),
    "next tokens": (GPT, (TOKENS, TOKENS.roll(-1, 1)), [2, 8, 50]),
    "classes without padding": (GPT, (TOKENS, Y), [2, 4]),
    "classes of pictures": (VIT, (PICTURES, Y), [2, 4]),
}


@pytest.mark.parametrize("name", FITTED)
def test_transformers_models_suit_the_data_and_come_back_from_their_file(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model, data, shape = FITTED[name]
    task = lw.Task(model, data)
    task.check_model()
    trained = train(task, FEW)
    save_model(trained, tmp_path / "m.safetensors")
    loaded = lw.load_model(tmp_path / "m.safetensors", model)
    assert list(loaded(data[0][:2]).shape) == shape
    with pytest.raises(lw.InputError, match="is your own"):
        lw.load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("channels", [1, 3])
def test_timm_models_suit_the_data(channels: int) -> None:
    pytest.importorskip("timm")
    task = lw.Task("timm:resnet10t?drop_rate=0.25", (PICTURES[:, :channels], Y))
    task.check_model()
    model = task.new_model(0)
    assert model(PICTURES[:2, :channels]).shape == (2, 4)
    assert model.drop_rate == 0.25
    fixed = lw.Task("timm:vit_tiny_patch16_224?depth=1", (PICTURES, Y))
    assert fixed.new_model(0)(PICTURES[:2]).shape == (2, 4)
    assert lw.Task("timm:resnet10t", (PICTURES, torch.rand(40))).new_model(0)(PICTURES[:2]).shape == (2, 1)


def test_a_configuration_is_a_file_or_a_folder_too(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 50, **SMALL}))
    for where in (tmp_path, tmp_path / "config.json"):
        model = lw.Task(f"transformers:{where}", (TOKENS, Y)).new_model(0)
        assert model.config.hidden_size == 16
        assert model(TOKENS[:2]).logits.shape == (2, 4)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(lw.InputError, match="its configuration cannot be read"):
        lw.Task(f"transformers:{tmp_path}", (TOKENS, Y))


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ("transformers:", (TOKENS, Y), "names no model; must be such as transformers:bert"),
        ("transformers:brt", (TOKENS, Y), "is called 'brt'; close are bert"),
        ("transformers:bert?hiden_size=3", (TOKENS, Y), "its configuration has no 'hiden_size'; close are hidden_size"),
        ("transformers:bert?head=MaskLM", (TOKENS, Y), "has no head 'MaskLM'; close are MaskedLM"),
        ("transformers:bert", (torch.rand(40, 5), Y), "needs tokens or images; a row here is numbers of shape [5]"),
        ("transformers:bert?=3", (TOKENS, Y), "option '=3': must be a word, or word=value"),
        ("transformers:bert?a=[", (TOKENS, Y), "option 'a=[': its value cannot be read"),
        ("transformers:bert", ((TOKENS, TOKENS), Y), "takes one tensor"),
        ("timm:resnet81", (PICTURES, Y), "timm has no model 'resnet81'; close are resnet18"),
        ("timm:resnet18", (torch.rand(40, 5), Y), "needs images [channels, height, width]; a row here is [5]"),
        ("timm:resnet18?depth=x", (PICTURES, Y), "making it raised TypeError"),
    ],
)
def test_names_that_suit_nothing_are_one_line(model: str, data: Any, message: str) -> None:
    pytest.importorskip(model.partition(":")[0])
    with pytest.raises(lw.InputError) as caught:
        lw.Task(model, data).check_model()
    assert str(caught.value).startswith(f"model '{model}'")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_a_library_that_is_not_installed_is_named_with_what_installs_it(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(lw.InputError, match=rf"is not installed; install it with: pip install 'lanewise\[{library}\]'"):
        lw.Task(f"{library}:anything", (PICTURES, Y))


def test_sizes_of_a_recipe_go_to_functions_alone() -> None:
    pytest.importorskip("transformers")
    with pytest.raises(lw.InputError, match=r"rank = 4: the model 'transformers:bert.*' takes none"):
        lw.Task(BERT, (TOKENS, Y)).new_model(0, rank=4)
    with pytest.raises(lw.InputError, match="rank = 4: the model takes none"):
        lw.Task("mlp:4", (torch.rand(40, 3), Y)).new_model(0, rank=4)
    with pytest.raises(lw.InputError, match=r"rank = 4: the model 'Flatten' takes none; .* make_net\(rank=8\)"):
        lw.Task(nn.Flatten, (torch.rand(40, 3), Y)).new_model(0, rank=4)


def test_the_command_line_takes_such_names(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lanewise", "train", "recipe.yaml", "--data", "digits", "--model"]
    (tmp_path / "recipe.yaml").write_text("lanewise: 1\nepochs: 1\n")
    done = subprocess.run([*command, "timm:"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "names no model; must be such as timm:resnet18" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
