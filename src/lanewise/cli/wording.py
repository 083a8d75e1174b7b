"""Messages about arguments, in the words of the command line: options."""

import ast
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial

import typer

PYTHON_CALLS = {
    r"(its model, .*; give it again: )resume\(folder, task\)": r"\1--model package.module:factory",
    r"(its data, .*; give it again: )resume\(folder, task\)": r"\1--data PATH",
    r"(task: data .*; )pass others to lanewise\.Task": r"\1give others with --data",
    r"(task: model .*; )pass your own to lanewise\.Task": r"\1give your own with --model",
    r"with lanewise\.race\(task, space\)": "with: lanewise race --space FILE",
    r"with lanewise\.train\.train\(task, recipe\)": "with: lanewise train FILE",
}
"""Python calls that messages advise, and the same advice for the command line."""

VALUE = r"True\b|\[(?:'[^']*'(?:, )?)*\]|'[^']*'|[A-Z]{2,}\b"
"""What an argument is given in a message that advises it: a truth value, a list of names, a text, or a placeholder."""


def in_options(message: str, options: Mapping[str, str]) -> str:
    """`message` with the arguments it begins with, or begins a part with, written as the options that set them.

    >>> in_options("threads = 0: must be 1; seed = 2: must be 1", {"threads": "--threads", "seed": "--seed"})
    '--threads 0: must be 1; --seed 2: must be 1'
    >>> in_options("recipe.yaml: epochs = 0: must be 1", {"epochs": "--epochs"})
    'recipe.yaml: epochs = 0: must be 1'
    >>> in_options("data 'here': no such data", {"data": "--data"})
    "--data 'here': no such data"
    >>> in_options("metric = 'x': must be accuracy, AUC, log loss, or a function", {"metric": "--metric"})
    "--metric 'x': must be accuracy, AUC or log loss"

    What the message advises is written as options too:

    >>> in_options("t.csv: leave them out with drop=['a b', 'c']", {"drop": "--drop"})
    "t.csv: leave them out with --drop 'a b' --drop c"
    >>> in_options("name it: target='...'", {"target": "--target"})
    'name it: --target ...'
    >>> in_options("recipe: is a space; find its best recipe with lanewise.race(task, space)", {"space": "--space"})
    'recipe: is a space; find its best recipe with: lanewise race --space FILE'
    >>> in_options("best.yaml: uses x of parts, which is not registered; import parts first", {"imports": "--import"})
    'best.yaml: uses x of parts, which is not registered; give --import parts'
    """
    if not options:
        return message
    for call, words in PYTHON_CALLS.items():
        message = re.sub(call, words, message)
    # Functions and objects are for Python only.
    message = re.sub(r"((?:^|; )metric = [^;]*), ([^;,]+), or a function", r"\1 or \2", message)
    message = re.sub(r"((?:^|; )(?:pruner|sampler) = [^;]*), or (?:a function|in Python [^;]*)", r"\1", message)
    if "imports" in options:
        message = re.sub(r"\bimport ([\w.]+(?: and [\w.]+)*) first\b", _imports, message)
        message = message.replace("and what you register", "and what the modules given with --import register")
    names = "|".join(map(re.escape, options))
    message = re.sub(rf"(?<=[ ;:])({names})=({VALUE})", partial(_advised, options), message)
    where = "(?:^|(?<=; )|(?<= and )|(?<= multiple of ))"
    return re.sub(rf"{where}({names})(?: = | (?='))", lambda found: f"{options[found[1]]} ", message)


def _imports(found: re.Match[str]) -> str:
    return "give " + " ".join(f"--import {module}" for module in found[1].split(" and "))


def _advised(options: Mapping[str, str], found: re.Match[str]) -> str:
    """`name=value` as the command line has it: a flag, an option, or one for every entry of a list."""
    option, value = options[found[1]], found[2]
    if value == "True":
        return option
    if value.startswith("["):
        return " ".join(f"{option} {shlex.quote(str(entry))}" for entry in ast.literal_eval(value))
    return f"{option} {value.strip(chr(39))}"


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
