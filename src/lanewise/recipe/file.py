"""Recipes and spaces as YAML files, both ways and exactly.

```yaml
lanewise: 1
optimizer: sgd(lr=log(0.001, 1) * choice(constant(), cosine(warmup=5%)), momentum=0.9)
l2: log(1e-06, 0.01)
dropout: uniform(0, 0.5)
groups: {"head.*": {lr: x2, decay: 0}}
task: {data: digits, model: mlp}
```

A value is a number, true, false, null or an expression (`lanewise.recipe.language`). A file names no code to import:
`task` holds built-in data and model names only. `imports: {my_schedule: my_parts}` says which module registers a part
of a user's own; it must be imported before the file is read.
"""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from lanewise.base.files import write_whole
from lanewise.base.registry import check_words, words_in
from lanewise.errors import InputError, one_line
from lanewise.parts.groups import ParameterGroup
from lanewise.parts.part import Part, Timed, Variable, holds_default
from lanewise.recipe.language import did_you_mean, parse
from lanewise.recipe.recipe import Recipe

VERSION = 1


class _Loader(yaml.SafeLoader):
    """Plain YAML that names no types of Python, has no aliases and gives no field twice.

    A few lines of aliases can stand for gigabytes.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    problem = f"{key.value!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                names.add(key.value)
        return super().construct_mapping(node, deep)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data: the optimizer, then every field that differs from its default."""
    kept = [
        item
        for item in fields(recipe)
        if item.name in ("optimizer", "batch_size", "epochs") or not holds_default(recipe, item)
    ]
    return {item.name: _plain(getattr(recipe, item.name)) for item in kept}


def from_dict(data: Any, where: str = "recipe") -> Recipe:
    """The recipe that `to_dict` gave, or that a person wrote; `where` names it in error messages."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be a mapping of fields to values, not {type(data).__name__}")
    known = [item.name for item in fields(Recipe)]
    values: dict[str, Any] = {}
    for field, value in data.items():
        if field not in known:
            hint = did_you_mean(field, known)
            raise InputError(f"{where}: unknown field {field!r}{hint}; allowed: {', '.join(known)}")
        if field == "penalised" and isinstance(value, list):
            values[field] = tuple(value)
            continue
        if field == "groups" and isinstance(value, dict):
            values[field] = {name: _read_group(where, name, numbers) for name, numbers in value.items()}
            continue
        if not isinstance(value, (str, int, float, type(None))):
            kind = type(value).__name__
            raise InputError(f"{where}: {field}: must be a number, true, false, null or an expression, not a {kind}")
        try:
            values[field] = parse(value) if isinstance(value, str) else value
        except InputError as error:
            raise InputError(f"{where}: {field}: {error}") from None
    try:
        return Recipe(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _read_group(where: str, name: Any, numbers: Any) -> Any:
    """The numbers of a group, those that are expressions read; what is no mapping as it is."""
    if not isinstance(numbers, dict):
        return numbers
    read: dict[Any, Any] = {}
    for own, value in numbers.items():
        try:
            read[own] = parse(value) if isinstance(value, str) else value
        except InputError as error:
            # YAML ends a value in braces at its first comma.
            cut = isinstance(value, str) and value.count("(") > value.count(")")
            hint = "; put quotes around a value that has commas" if cut else ""
            raise InputError(f"{where}: groups[{name!r}].{own}: {error}{hint}") from None
    return read


def dump(recipe: Recipe, task: dict[str, str] | None = None) -> str:
    """The YAML text of `recipe`; `task` may name built-in `data` and `model`."""
    fields_of = to_dict(recipe)
    imports = words_in(map(str, fields_of.values()))
    data = {"lanewise": VERSION, **({"imports": imports} if imports else {}), **fields_of}
    data |= {"task": task} if task else {}
    # In ASCII, for PyYAML does not read back what it writes of U+0085.
    return yaml.safe_dump(data, sort_keys=False, width=1000)


def load(text: str, where: str = "recipe") -> tuple[Recipe, dict[str, str]]:
    """(recipe, task) of a YAML text; the task is empty where the file names none."""
    try:
        data = yaml.load(text, _Loader)
    # PyYAML lets through what Python says of `!!int x`, `!!bool x`, `!!timestamp x`, 2024-13-45 and a deep nesting.
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: not readable as YAML: {one_line(error)}") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be a YAML mapping that starts with 'lanewise: {VERSION}'")
    version = data.pop("lanewise", None)
    if type(version) is not int or version != VERSION:
        raise InputError(f"{where}: lanewise: {version!r} is not a version this release reads; allowed: {VERSION}")
    task = data.pop("task", None)
    task = {} if task is None else task
    if not isinstance(task, dict) or not all(key in ("data", "model") and isinstance(task[key], str) for key in task):
        raise InputError(f"{where}: task: may hold the names 'data' and 'model' only, each a text; found {task!r}")
    check_words(data.pop("imports", {}), where)
    return from_dict(data, where), task


def save(recipe: Recipe, path: str | os.PathLike[str], task: dict[str, str] | None = None) -> None:
    """Write `recipe` to the YAML file `path`, whole or not at all."""
    write_whole(Path(path), dump(recipe, task))


def read(path: str | os.PathLike[str]) -> tuple[Recipe, dict[str, str]]:
    """(recipe, task) of the YAML file `path`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {one_line(error)}") from None
    return load(text, str(path))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], ParameterGroup):
        return {group.parameters: {own: _plain(getattr(group, own)) for own in group.given} for group in value}
    if isinstance(value, (Part, Timed, Variable)):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    # NumPy's float64 is a float too, but not to YAML.
    return float(value) if isinstance(value, float) else value
