"""Lanewise finds the training recipe that suits a model and its data, by racing many side by side.

Each public name is imported when it is first used, so that `import lanewise` takes no time: torch alone takes seconds.
The names stand in `__init__.pyi` and nowhere else, with the modules that they come from, as type checkers read them.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

from lanewise.base.process import before_torch, collector_paused

__version__ = "0.1.0"

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_MODULES = {
    alias.name: str(node.module) for node in _STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names
}

__all__ = sorted(_MODULES)

# Here, because torch may multiply matrices between this line and the first use of a name.
before_torch()


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562); from then on it is an ordinary attribute."""
    if name not in _MODULES:
        raise AttributeError(f"module 'lanewise' has no attribute {name!r}")
    with collector_paused():
        module = import_module(_MODULES[name])
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    """The public names, used or not, for completion."""
    return sorted({*globals(), *__all__})
