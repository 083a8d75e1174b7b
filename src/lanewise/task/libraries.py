"""Models of timm and of Transformers by name, fitted to the data: `timm:resnet18`, `transformers:bert?hidden_size=64`.

Neither library is imported before such a name is used. After a `?` stand options with `&` between them: `pretrained`,
and whatever the library's own function takes. Nothing is downloaded but by `pretrained`, and for a configuration that
is on the hub alone.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from lanewise.errors import InputError, one_line

LIBRARIES = ("timm", "transformers")
HEADS = {"class": "SequenceClassification", "number": "SequenceClassification", "tokens": "CausalLM"}
"""Which of Transformers' AutoModelFor... suits targets of a kind; those of pictures are ImageClassification."""


@dataclass(frozen=True)
class Fit:
    """What a model must suit.

    Attributes:
        shape: of one row of inputs. tokens: whether they are whole numbers. outputs: classes, or numbers a row.
        target: kind of the targets, `class`, `number`, `tokens`, or another where the model computes its own loss.
    """

    shape: tuple[int, ...]
    tokens: bool
    outputs: int
    target: str


def is_from_library(name: str) -> bool:
    """Whether `name` names a model of timm or Transformers."""
    return name.partition(":")[0] in LIBRARIES


def check_library_name(name: str) -> None:
    """Raise `InputError` for a name of a library's model that suits no data."""
    timm = name.startswith("timm:")
    build_from_library(name, Fit((3, 224, 224) if timm else (8,), not timm, 2, "class"))


def build_from_library(name: str, fit: Fit) -> Callable[..., nn.Module]:
    """A function that makes the model `timm:NAME?OPTIONS` or `transformers:CONFIG?OPTIONS` for such data.

    Raises:
        InputError: the library is not installed, it has no such model, options that cannot be read, or rows that the
            library's models do not take. What making the model raises is the caller's to word.
    """
    library, _, rest = name.partition(":")
    known, _, text = rest.partition("?")
    if not known:
        example = "timm:resnet18" if library == "timm" else "transformers:bert?hidden_size=64"
        raise InputError(f"model {name!r}: names no model; must be such as {example}")
    options = options_of(name, text)
    try:
        module: Any = importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise InputError(f"model {name!r}: importing {library} raised {one_line(error)}") from error
        raise InputError(
            f"model {name!r}: {library} is not installed; install it with: pip install 'lanewise[{library}]'"
        ) from None
    except Exception as error:
        raise InputError(f"model {name!r}: importing {library} raised {one_line(error)}") from error
    return (of_timm if library == "timm" else of_transformers)(module, name, known, options, fit)


def options_of(name: str, text: str) -> dict[str, Any]:
    """`pretrained&drop_rate=0.1` as {"pretrained": True, "drop_rate": 0.1}.

    >>> options_of("timm:resnet18", "pretrained&drop_rate=0.1")
    {'pretrained': True, 'drop_rate': 0.1}
    """
    found: dict[str, Any] = {}
    for part in text.split("&") if text else ():
        key, equals, value = part.partition("=")
        if not key.isidentifier() or key in found or (equals and not value):
            raise InputError(f"model {name!r}: option {part!r}: must be a word, or word=value, each once")
        try:
            found[key] = yaml.safe_load(value) if equals else True
        except yaml.YAMLError:
            raise InputError(f"model {name!r}: option {part!r}: its value cannot be read") from None
    return found


def unknown(name: str, known: str, names: Iterable[str], whose: str) -> InputError:
    """That there is no model `known`, with those that are nearly called so."""
    close = difflib.get_close_matches(known, sorted(names), n=5, cutoff=0.6)
    others = f"; close are {', '.join(close)}" if close else ""
    return InputError(f"model {name!r}: {whose} {known!r}{others}")


def of_timm(timm: Any, name: str, known: str, options: dict[str, Any], fit: Fit) -> Callable[..., nn.Module]:
    """Pictures as [channels, height, width] go in; classes or numbers come out."""
    if len(fit.shape) != 3 or fit.tokens:
        raise InputError(
            f"model {name!r} needs images [channels, height, width]; a row here is {[*fit.shape]}: give grey images as"
            " [rows, 1, height, width]"
        )
    if fit.target not in ("class", "number"):
        raise InputError(f"model {name!r}: gives classes or numbers; this data has targets of kind {fit.target!r}")
    if not timm.is_model(known):
        raise unknown(name, known.partition(".")[0], timm.list_models(), "timm has no model")
    given: dict[str, Any] = {"num_classes": fit.outputs, "in_chans": fit.shape[0]}
    if getattr(timm.models.get_pretrained_cfg(known), "fixed_input_size", False):
        given["img_size"] = tuple(fit.shape[1:])
    return partial(made, name, partial(timm.create_model, known, **{**given, **options}))


def of_transformers(library: Any, name: str, known: str, options: dict[str, Any], fit: Fit) -> Callable[..., nn.Module]:
    """Tokens [length] or pictures go in; `head` among the options names another AutoModelFor... than the data's."""
    pretrained = bool(options.pop("pretrained", False))
    pictures = not fit.tokens and len(fit.shape) == 3
    head = options.pop("head", "ImageClassification" if pictures else HEADS.get(fit.target, "CausalLM"))
    auto = getattr(library, f"AutoModelFor{head}", None)
    if auto is None:
        heads = [one.removeprefix("AutoModelFor") for one in dir(library) if one.startswith("AutoModelFor")]
        raise unknown(name, str(head), heads, "Transformers has no head")
    if not fit.tokens and not pictures:
        raise InputError(f"model {name!r}: needs tokens or images; a row here is numbers of shape {[*fit.shape]}")
    config = configuration(library, name, known, options, fit)
    if pretrained:
        return partial(made, name, partial(auto.from_pretrained, known, config=config))
    return partial(made, name, partial(auto.from_config, config))


def configuration(library: Any, name: str, known: str, options: dict[str, Any], fit: Fit) -> Any:
    """The configuration of that file, folder or name, with the options, and the numbers that the data gives."""
    given: dict[str, Any] = {"use_cache": False}
    if fit.target in ("class", "number"):
        given["num_labels"] = fit.outputs
    if not fit.tokens:
        given |= {"num_channels": fit.shape[0], "image_size": max(fit.shape[1:])}
    path = Path(known)
    try:
        if path.is_dir() or path.is_file():
            found = library.AutoConfig.from_pretrained(known)
        elif known in library.CONFIG_MAPPING:
            found = library.AutoConfig.for_model(known)
        elif "/" in known:
            found = library.AutoConfig.from_pretrained(known)
        else:
            raise unknown(
                name, known, library.CONFIG_MAPPING, "no file, folder or configuration of Transformers is called"
            )
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"model {name!r}: its configuration cannot be read: {one_line(error)[:300]}") from error
    for key, value in (given | options).items():
        if key in options and not hasattr(found, key):
            raise unknown(name, key, vars(found), "its configuration has no")
        setattr(found, key, value)
    if getattr(found, "pad_token_id", None) is None:
        # Without one, some models refuse to score more than one row.
        found.pad_token_id = getattr(found, "eos_token_id", None)
    return found


def made(name: str, make: Callable[[], nn.Module], **sizes: int) -> nn.Module:
    """The model that `make` returns.

    Raises:
        InputError: a size of a recipe, which such a model does not take, or whatever making it raises.
    """
    for size, value in sizes.items():
        raise InputError(f"{size} = {value}: the model {name!r} takes none; give a function of your own that takes it")
    try:
        return make()
    except Exception as error:
        raise InputError(f"model {name!r}: making it raised {one_line(error)[:300]}") from error
