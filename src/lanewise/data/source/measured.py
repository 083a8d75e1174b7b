"""Which inputs are measurements, to be standardised, and which keep their values: by what users say, and with notes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from lanewise.data.arrays.labels import has_labels
from lanewise.data.arrays.nested import Inputs, branches, leaves, rebuilt
from lanewise.data.source.standardise import Wanted, features_left, is_tokens, keeps_type
from lanewise.errors import InputError

Given = bool | str | Sequence[Any] | Mapping[Any, bool]
"""What users may say: all or none, the names of those that are standardised, or name -> whether it is."""

SHOWN = 6
"""Names that a note lists before it counts."""

TOKENS = "whole numbers are taken for tokens and left unscaled; store features as floating numbers"


def as_wanted(given: Given, sample: Inputs, features: Sequence[str] | None = None) -> Any:
    """What `load(standardise=given)` says of every input, nested as `sample`; None where the default applies to all.

    Args:
        features: the names of the features, where the input is a table.

    >>> as_wanted(["age"], {"age": torch.rand(2), "mask": torch.rand(2)})
    {'age': True, 'mask': False}

    Raises:
        InputError: a name that no input or feature has.
    """
    if given is True:
        return None
    parts = leaves(sample)
    if given is False:
        return rebuilt(sample, [False] * len(parts)) if len(parts) > 1 or not torch.is_tensor(sample) else False
    if not isinstance(given, Iterable):
        raise InputError(f"standardise = {given!r}: must be True, False, a list of names, or name -> True or False")
    wishes: dict[Any, bool] = dict(given) if isinstance(given, Mapping) else {}
    if not isinstance(given, Mapping):
        wishes = dict.fromkeys([given] if isinstance(given, str) else list(given), True)
    if not all(isinstance(wish, bool) for wish in wishes.values()):
        raise InputError(f"standardise = {given!r}: must be name -> True or False")
    otherwise = None if isinstance(given, Mapping) else False
    names = names_of(sample, features)
    unknown = [name for name in wishes if name not in names and not any(of_column(one, name) for one in names)]
    if unknown or not names:
        has = f"a name or number of an input ({', '.join(map(str, names))})" if names else "for one array without names"
        allowed = f"must be True, False or {has}" if names else f"must be True or False {has}"
        raise InputError(f"standardise = {given!r}: {allowed}")
    if torch.is_tensor(sample):
        default = -1 if otherwise is None else 0
        marks = [next((int(wish) for name, wish in wishes.items() if of_column(one, name)), default) for one in names]
        return torch.tensor(marks, dtype=torch.int8)
    found = [wishes.get(name, otherwise) for name in names]
    return dict(zip(names, found, strict=True)) if isinstance(sample, Mapping) else tuple(found)


def names_of(sample: Inputs, features: Sequence[str] | None) -> list[Any]:
    """The names by which users call the inputs, or the features of a table."""
    if isinstance(sample, Mapping):
        return list(sample)
    return list(range(len(sample))) if isinstance(sample, tuple) else list(features or ())


def of_column(feature: Any, name: Any) -> bool:
    """Whether `feature` is made of the column `name` of a table."""
    if feature == name:
        return True
    return isinstance(feature, str) and isinstance(name, str) and feature.startswith((f"{name}=", f"{name} is "))


def wish_of(wanted: Any, name: Any) -> Wanted:
    """What is wanted of one input."""
    return wanted[name] if isinstance(wanted, (dict, tuple)) else wanted


def input_notes(
    where: str, x: Inputs, wanted: Any = None, features: Sequence[str] | None = None, sampled: bool = False
) -> tuple[str, ...]:
    """One line on which inputs are standardised and which are not, or none where it is a single one that is.

    Args:
        x: all rows; or, `sampled`, a few of those that are read from elsewhere, which show types and no more.
    """
    if features and wanted is None:
        # The reader of a table says what its columns were taken for.
        return ()
    alone, numbers = torch.is_tensor(x), dict(zip(names_of(x, None) or [None], leaves(x), strict=True))
    left: list[str] = []
    scaled: list[str] = []
    named = dict(zip(numbers, branches(f"{where} x", x), strict=True))
    for place, leaf in numbers.items():
        name, wish = named[place].removeprefix(f"{where} "), wish_of(wanted, place)
        if is_tokens(leaf) and wish is None:
            left.append(f"{name}: {TOKENS}")
        elif keeps_type(leaf, wish, alone):
            left.append(f"{name}: {'truth values' if leaf.dtype is torch.bool else 'whole numbers'}, left as they are")
        elif wish is False:
            left.append(f"{name}: left as it is")
        elif sampled and not (wish is True or (alone and leaf.dtype is torch.uint8)):
            scaled.append(name)
            if not alone:
                left.append(f"features of {name} that are only 0 and 1 are left as they are")
        else:
            flags = features_left(leaf, wish, alone)
            if bool(flags.all()):
                few = "0 and 1" if wish is None and has_labels(leaf) else "two values"
                left.append(f"{name}: " + ("left as it is" if wish is not None else f"only {few}, left as it is"))
            elif bool(flags.any()):
                left.append(some_left(name, flags, features))
                scaled.append(f"the other features of {name}")
            else:
                scaled.append(name)
    if not left and alone and (wanted is not None or x.dtype not in (torch.int64, torch.uint32)):
        return ()
    if not left and alone:
        return (f"{where} x: whole numbers of four axes are taken for images and standardised",)
    return (f"{where} {'; '.join([*left, *([f'standardised: {listed(scaled)}'] if scaled else [])])}",)


def some_left(name: str, flags: torch.Tensor, features: Sequence[str] | None) -> str:
    """Which features of an input are left as they are."""
    at = flags.nonzero().flatten().tolist()
    which = f" ({listed([features[number] for number in at])})" if features else ""
    return f"{name}: {len(at)} of {len(flags)} features{which} are only 0 and 1, or asked for, and left as they are"


def listed(names: Sequence[str]) -> str:
    """The names, or the first of them and how many more."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
