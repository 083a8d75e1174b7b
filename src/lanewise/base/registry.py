"""What users registered with `lanewise.register`: what it is called, and which module must be imported to have it.

The parts themselves stand in the tables of the built-in ones. A record holds names of parts, never code, so it holds
beside them where they come from, and by what code: a run that goes on must find them as they were.
"""

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lanewise.errors import InputError

WORD = re.compile(r"[^\W\d]\w*")
KINDS = ("schedule", "optimizer", "pruner", "metric")


@dataclass(frozen=True)
class Registered:
    """A part of the user's own.

    Attributes:
        kind: one of `KINDS`. module: that defines it. digest: of its code without comments; empty where there is no
            source to read.
    """

    name: str
    kind: str
    part: Any
    module: str
    digest: str

    def origin(self) -> dict[str, str]:
        """Plain data for a record."""
        return {"kind": self.kind, "module": self.module, "digest": self.digest}


_known: dict[tuple[str, str], Registered] = {}


def registered(kind: str) -> dict[str, Any]:
    """The registered parts of one kind by name."""
    return {name: one.part for (of, name), one in _known.items() if of == kind}


def remember(kind: str, name: str, part: Any, code: Any) -> None:
    """Keep where `part` comes from; `code` is the class or function that it is made of."""
    module = str(getattr(code, "__module__", None) or type(code).__module__)
    _known[kind, name] = Registered(name, kind, part, module, digest(code))


def forget(kind: str, name: str) -> None:
    """Let a name be free again."""
    _known.pop((kind, name), None)


def same_place(kind: str, name: str, code: Any) -> bool:
    """Whether `name` was registered from the same place in the same module: a cell that is run again, say."""
    known = _known.get((kind, name))
    if known is None:
        return False
    before = getattr(known.part, "function", known.part)
    places = [(getattr(one, "__module__", None), getattr(one, "__qualname__", None)) for one in (before, code)]
    return places[0] == places[1]


def origins(texts: Iterable[str] = (), **names: str) -> dict[str, dict[str, str]]:
    """Where the registered parts come from that a run uses, by name.

    Args:
        texts: recipes, as files hold them. **names: kind -> the name of a part.
    """
    words = {word for text in texts for word in WORD.findall(text)}
    return {
        name: one.origin()
        for (kind, name), one in _known.items()
        if names.get(kind) == name or (kind in ("schedule", "optimizer") and name in words)
    }


def words_in(texts: Iterable[str]) -> dict[str, str]:
    """The registered schedules and optimizers that recipes name -> the module that each comes from."""
    return {name: one["module"] for name, one in origins(texts).items()}


def check_words(imports: Any, where: str) -> None:
    """Raise `InputError` unless all parts that `words_in` named are registered, by whatever code they have now."""
    if not isinstance(imports, Mapping) or not all(isinstance(text, str) for pair in imports.items() for text in pair):
        raise InputError(f"{where}: imports: must be a mapping of names of parts to modules; found {imports!r}")
    kinds = {name: "optimizer" if ("optimizer", name) in _known else "schedule" for name in imports}
    _check_there({name: {"kind": kinds[name], "module": module} for name, module in imports.items()}, where)


def check_origins(recorded: Any, where: str) -> None:
    """Raise `InputError` unless all parts that `origins` named are registered as they were.

    Nothing is imported for that: a record must not name code to run.
    """
    if not isinstance(recorded, Mapping) or not all(
        isinstance(one, Mapping) and all(isinstance(one.get(key), str) for key in ("kind", "module", "digest"))
        for one in recorded.values()
    ):
        raise InputError(f"{where}: imports = {recorded!r}: must name parts with their kind, module and digest")
    _check_there(recorded, where)
    for name, one in recorded.items():
        now = _known[one["kind"], name]
        if one["digest"] and now.digest and now.digest != one["digest"]:
            raise InputError(
                f"{where}: the code of the {one['kind']} {name} in {now.module} changed since; go on with the code as "
                "it was, or begin a new run"
            )


def _check_there(recorded: Mapping[str, Mapping[str, str]], where: str) -> None:
    missing = {name: str(one["module"]) for name, one in recorded.items() if (one["kind"], name) not in _known}
    if missing:
        parts = " and ".join(f"{name} of {module}" for name, module in missing.items())
        modules = list(dict.fromkeys(missing.values()))
        raise InputError(
            f"{where}: uses {parts}, which {'is' if len(missing) == 1 else 'are'} not registered; "
            f"import {' and '.join(modules)} first"
        )


def digest(code: Any) -> str:
    """A checksum of the source of a class or function, comments and layout aside; empty where there is none."""
    try:
        source = textwrap.dedent(inspect.getsource(code))
        return hashlib.sha256(ast.dump(ast.parse(source)).encode()).hexdigest()[:16]
    except (OSError, TypeError, SyntaxError):
        return ""
