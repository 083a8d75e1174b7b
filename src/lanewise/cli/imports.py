"""`--import my_module`: what a user registers is there before recipes and options are read."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from lanewise.errors import InputError, one_line


def import_modules(context: typer.Context, names: Sequence[str] | None) -> list[str]:
    """Import the modules that `--import` names, in this order; the current folder is searched first.

    Raises:
        InputError: one is not there, raises, or registers what cannot be registered.
    """
    if context.resilient_parsing:
        # The shell completes a command line; nothing of it is run.
        return []
    for name in names or ():
        import_one(name)
    return list(names or ())


def import_one(name: str) -> None:
    """Import the module `name`."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"--import {name!r}: must be the name of a module, such as my_parts or package.my_parts")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"--import {name}: importing it raised {one_line(error)}") from None
        raise InputError(
            f"--import {name}: there is no module {error.name!r} in the current folder ({folder}) nor among the "
            "installed packages"
        ) from None
    except InputError as error:
        raise InputError(f"--import {name}: {error}") from None
    # A script that parses arguments when imported leaves by SystemExit.
    except (Exception, SystemExit) as error:
        raise InputError(f"--import {name}: importing it raised {one_line(error)}") from None
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
