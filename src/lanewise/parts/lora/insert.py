"""Putting low-rank adapters into a model: which layers are meant, and which cannot be adapted."""

import copy
import difflib
import fnmatch
from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.nn.utils import parametrize

from lanewise.base.torch_modules import check_module, own_parameters
from lanewise.errors import InputError, one_line
from lanewise.parts.lora.layers import Adapter, LoraWeight, as_adapted, is_transposed, mixin_of
from lanewise.parts.part import Allowed, check_number

RANK = Allowed(1, 65_536, integer=True)
ALPHA = Allowed(0.0, low_open=True)
DROPOUT = Allowed(0.0, 1.0, high_open=True)
ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""What `nn.MultiheadAttention` holds itself; its output layer is a child."""
READ_BY_OWNER = nn.modules.linear.NonDynamicallyQuantizableLinear
"""The class of that child, whose forward is never called."""


def lora(
    model: nn.Module,
    rank: int = 8,
    targets: str | Sequence[str] | None = None,
    alpha: float = 8.0,
    dropout: float = 0.0,
    train: str | Sequence[str] = (),
    rslora: bool = False,
) -> nn.Module:
    """A copy of `model` in which low-rank adapters train beside frozen weights.

    The copy shares the memory of every weight that does not train, so a pretrained model that is loaded once serves
    all calls: `lw.race(lambda: lw.lora(pretrained, rank=8, train="head.*"), data)`. `model` itself is left as it is.

    Args:
        model: any module. rank: columns of B and rows of A.
        targets: names of layers, as PEFT takes them: `"q_proj"` is every layer whose name is that or ends in
            `.q_proj`; `*` matches anything, `"encoder.*.linear1"`. Linear, Conv2d, Embedding and MultiheadAttention
            layers, and Conv1D of Transformers, take adapters. None for every Linear, Conv1D and MultiheadAttention but
            those that `train` names, and those whose weight another layer shares.
        alpha: the product of B and A is multiplied by alpha / rank.
        dropout: rate of dropout in front of the adapters; a recipe's `dropout` replaces it as that of other layers.
        train: names of further parameters that train, `*` standing for anything: `"head.*"`.
        rslora: alpha / sqrt(rank) in place of alpha / rank (Kalajdzievski, 2023).

    Raises:
        InputError: a number out of range, a name that fits nothing, or a layer that takes no adapter: quantised, with
            weight or spectral norm, grouped, or with a weight that another layer shares.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021; A is drawn as PEFT draws it.

    >>> model = lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), rank=1, targets="0", train="2.*")
    >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    ['0.lora_A', '0.lora_B', '2.weight', '2.bias']
    """
    check_module("lora", model)
    check_number("lora: rank", rank, RANK)
    check_number("lora: alpha", alpha, ALPHA)
    check_number("lora: dropout", dropout, DROPOUT)
    if any(isinstance(module, Adapter) for module in model.modules()):
        raise InputError("lora: the model has adapters already; give the model that lora was given")
    trained = fitting(model, names("train", train))
    paths = chosen(model, targets, trained)
    model = sharing_copy(model, trained)
    for path in paths:
        put_into(model, path, rank, alpha, dropout, rslora)
    for layer in model.modules():
        # In evaluation such a layer reads the weights of its linear layers and never calls them.
        if isinstance(layer, nn.TransformerEncoderLayer):
            layer.activation_relu_or_gelu = 0
    return model


def names(what: str, given: str | Sequence[str]) -> list[str]:
    """One name or several, as a list."""
    found = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(name, str) and name for name in found):
        raise InputError(f"lora: {what} = {given!r}: must be a name or a list of names such as head.*")
    return found


def fitting(model: nn.Module, patterns: Sequence[str]) -> set[str]:
    """The names of the parameters that `patterns` fit, with all names of a shared one."""
    named = dict(model.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        if not fnmatch.filter(named, pattern):
            raise InputError(f"lora: train = {pattern!r}: fits no parameter; must be among {', '.join(named)[:300]}")
    ids = {id(named[name]) for pattern in patterns for name in fnmatch.filter(named, pattern)}
    return {name for name, parameter in named.items() if id(parameter) in ids}


def sharing_copy(model: nn.Module, trained: set[str]) -> nn.Module:
    """A copy of `model` whose parameters are in the memory of its own, and frozen, but for the `trained` ones."""
    shared: dict[int, Tensor] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False)
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if name not in trained and type(parameter) is nn.Parameter
    }
    # Weights that hooks compute anew in every pass (weight norm of old) are no leaves, which torch does not copy.
    computed = (value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor))
    shared |= {id(value): value.detach() for value in computed if not value.is_leaf}
    try:
        copied = copy.deepcopy(model, dict(shared))
    except Exception as error:
        raise InputError(f"lora: the model cannot be copied: {one_line(error)}") from error
    for name, parameter in copied.named_parameters(remove_duplicate=False):
        parameter.requires_grad_(name in trained)
    return copied


def chosen(model: nn.Module, targets: str | Sequence[str] | None, trained: set[str]) -> list[str]:
    """The paths of the layers to adapt, in the model's order.

    Raises:
        InputError: a name that fits no layer, or one that takes no adapter.
    """
    layers = dict(model.named_modules())
    shared = shared_weights(model)
    if targets is None:
        found = [
            path
            for path, layer in layers.items()
            if (isinstance(layer, (nn.Linear, nn.MultiheadAttention)) or is_transposed(layer))
            and not isinstance(layer, READ_BY_OWNER)
            and not any(f"{path}.{name}".lstrip(".") in trained for name, _ in layer.named_parameters())
            and path not in shared
        ]
        if not found:
            raise InputError("lora: the model has no Linear layer to adapt; name others as targets")
    else:
        wanted = [(pattern, meant(layers, pattern)) for pattern in names("targets", targets)]
        if not wanted:
            raise InputError("lora: targets is empty: must name at least one layer")
        found = [path for path in layers if any(path in paths for _, paths in wanted)]
    for path in found:
        if path in shared:
            raise InputError(
                f"lora: the layer {path!r} shares its weight with {shared[path]}: an adapter would change both when it "
                "is merged; leave it out of targets"
            )
        if why := refusal(layers[path]):
            raise InputError(f"lora: the layer {path!r} ({type(layers[path]).__name__}) takes no adapter: {why}")
        if f"{path}.weight".lstrip(".") in trained:
            raise InputError(f"lora: the layer {path!r} is among targets and train: must be in one of them")
    inner = {f"{path}.out_proj".lstrip(".") for path in found if isinstance(layers[path], nn.MultiheadAttention)}
    return [path for path in found if path not in inner]


def meant(layers: dict[str, nn.Module], pattern: str) -> set[str]:
    """The layers of that name, those alone that can take an adapter where there are any.

    Raises:
        InputError: there are none.
    """
    # What a parametrisation holds is no layer of the user's.
    paths = [path for path in layers if "parametrizations" not in path.split(".")]
    fit = {path for path in paths if path == pattern or path.endswith(f".{pattern}")} or {
        *fnmatch.filter(paths, pattern)
    }
    able = {path for path in fit if takes_adapter(layers[path])}
    if able or (fit and "*" not in pattern):
        return able or fit
    if fit:
        raise InputError(f"lora: targets = {pattern!r}: fits no layer that takes an adapter, such as Linear")
    able = {path for path in paths if takes_adapter(layers[path])}
    last = sorted({path.rpartition(".")[2] for path in able} | able)
    close = difflib.get_close_matches(pattern, last, n=4, cutoff=0.5) or sorted(able)[:8]
    raise InputError(f"lora: targets = {pattern!r}: fits no layer; must be among names such as {', '.join(close)}")


def takes_adapter(layer: nn.Module) -> bool:
    """Whether `layer` is of a kind that takes adapters."""
    return isinstance(layer, nn.MultiheadAttention) or mixin_of(layer) is not None


def shared_weights(model: nn.Module) -> dict[str, str]:
    """Layers whose weight is another layer's, too: path -> the name it has there."""
    named = dict(model.named_parameters(remove_duplicate=False))
    first: dict[int, list[str]] = {}
    for name, parameter in named.items():
        first.setdefault(id(parameter), []).append(name)
    paths = dict(model.named_modules())
    return {
        path: next(other for other in first[id(weight)] if other != f"{path}.weight")
        for path, layer in paths.items()
        if (weight := own_parameters(layer).get("weight")) is not None and len(first[id(weight)]) > 1
    }


def refusal(layer: nn.Module) -> str:
    """Why `layer` takes no adapter, or nothing."""
    attention = isinstance(layer, nn.MultiheadAttention)
    if not takes_adapter(layer):
        return "must be Linear, Conv2d, Embedding, MultiheadAttention, or Conv1D of Transformers"
    held = {"weight"} if not attention else {"in_proj_weight", "q_proj_weight"}
    weights = [weight for name in held if (weight := own_parameters(layer).get(name)) is not None]
    if parametrize.is_parametrized(layer) or not weights:
        return "its weight is computed from others (weight norm, spectral norm or another parametrisation)"
    if type(weights[0]) is not nn.Parameter or not weights[0].is_floating_point():
        return f"its weight is quantised or no real number ({type(weights[0]).__name__}, {weights[0].dtype})"
    if attention:
        return refusal(layer.get_submodule("out_proj"))
    if isinstance(layer, nn.Conv2d) and (layer.groups != 1 or layer.padding_mode != "zeros"):
        return "it is grouped or pads with something else than zeros"
    return "max_norm changes its weight in every pass" if getattr(layer, "max_norm", None) is not None else ""


def put_into(model: nn.Module, path: str, rank: int, alpha: float, dropout: float, rslora: bool) -> None:
    """Adapt the layer of that path."""
    layer = model.get_submodule(path)
    if mixin_of(layer) is None or isinstance(layer, READ_BY_OWNER):
        if dropout:
            raise InputError(
                f"lora: dropout = {dropout}: must be 0 for {path!r}, since attention of torch reads its weights itself"
            )
        owned = [(layer, name) for name in ATTENTION if own_parameters(layer).get(name) is not None]
        owned.append((layer if isinstance(layer, READ_BY_OWNER) else layer.get_submodule("out_proj"), "weight"))
        for owner, name in owned:
            adapter = LoraWeight(getattr(owner, name), rank, alpha, rslora)
            parametrize.register_parametrization(owner, name, adapter, unsafe=True)
        return
    # No layer where nothing is dropped: a draw for each of its inputs costs more than the adapter.
    as_adapted(layer).insert(rank, alpha, nn.Dropout(dropout) if dropout else nn.Identity(), rslora)
