"""Messages about arguments, in the words of the command line: options."""

import re
from collections.abc import Mapping, Sequence

import typer


def in_options(message: str, options: Mapping[str, str]) -> str:
    """`message` with the arguments it begins with, or begins a part with, written as the options that set them.

    >>> in_options("threads = 0: must be 1; seed = 2: must be 1", {"threads": "--threads", "seed": "--seed"})
    '--threads 0: must be 1; --seed 2: must be 1'
    >>> in_options("recipe.yaml: epochs = 0: must be 1", {"epochs": "--epochs"})
    'recipe.yaml: epochs = 0: must be 1'
    >>> in_options("data 'here': no such data", {"data": "--data"})
    "--data 'here': no such data"
    """
    if not options:
        return message
    names = "|".join(map(re.escape, options))
    where = "(?:^|(?<=; )|(?<= and )|(?<= multiple of ))"
    return re.sub(rf"{where}({names})(?: = | (?='))", lambda found: f"{options[found[1]]} ", message)


def options_of(app: typer.Typer, words: Sequence[str]) -> dict[str, str]:
    """The options of the command that `words` name, by the argument that each of them sets."""
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    command = next((commands[word] for word in words if word in commands), None)
    found: dict[str, str] = {}
    for one in command.params if command else ():
        long = [option for option in one.opts if option.startswith("--")]
        if one.name and long:
            found[one.name] = long[0]
    return found
