"""Nothing that a user reads has a retired word: sentences of the code, docs, public names, options.

Each pattern says what to write instead. Sentences are what people read: docstrings, literals with a space in them, and
the prose of Markdown outside code. `rule` and `freedom` stay where they are the field's words.
"""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import lanewise
from lanewise.cli import app

HERE = Path(__file__).parents[1]
SOURCES = sorted((HERE / "src" / "lanewise").rglob("*.py"))
PAGES = [HERE / "README.md", HERE / "CONTRIBUTING.md", *sorted((HERE / "docs").rglob("*.md"))]

RULE_STAYS = r"(?<!one-standard-error )(?<!standard error )(?<!linear )(?<!Scott's )(?<!Dahlquist )(?<!by the same )"
RETIRED = {
    RULE_STAYS + r"\brules?\b(?! of thumb)": "optimizer or pruner",
    r"\bupdate rules?\b": "optimizer",
    r"(?<![Dd]egrees of )(?<![Dd]egree of )\bfreedom\b": "degrees of freedom",
    r"\b(?:told|tell|tells|telling) (?:\w+ ){0,3}(?:apart|from)\b": "significantly better, or too close to call",
    r"\bcannot be told\b|\btold ties\b|\btells? (?:equal|ties)\b": "tied, or too close to call",
    r"\bindistinguishable from\b": "too close to call",
    r"\bnot one row\b|\bno row differs\b": "all examples get the same score",
    r"\bworth (?:of|at) (?:a|the|that|each|its) rung\b|\bpromise of (?:a|the|each) rung\b": "projected score",
    r"\bsettl(?:e|es|ed|ing)\b": "separate, decide or converge",
    r"\bslots?\b": "optimizer state",
    r"\btwins?\b": "lane layer",
    r"\bHeld\b": "holdout",
    r"\bPace\b": "budget planner",
    r"\bKeeper\b": "checkpointer",
    r"\bhas had its say\b": "watches from then on",
    r"\bnobody has won\b": "there is no winner yet",
    r"\bdealt out\b": "assigned at random",
    r"\bas good\?": "too close to call",
    r"\bleft at \d": "stopped at",
    r"\bstill in\b(?! the (?:file|cache|package))": "still training",
    r"\bfresh (?:repeats?|runs?|rows?|seeds?)\b": "new training runs, or new examples",
    r"\bits own direction\b": "less is better",
    r"\bthat \w+ has not\b": "that are not in",
    r"\bsays? nothing of\b": "does not apply to",
    r"\bmore repeats will not\b|\bthe rows limit it\b": "more examples would separate them",
    r"\bin too few repeats neither diverged\b": "both have a score in fewer than two repeats",
    r"\bequal ones\b": "equal scores",
    r"\bpercent points?\b": "points",
    r"\| *best\? *\|": "P(best)",
}
PATTERNS = {re.compile(pattern): instead for pattern, instead in RETIRED.items()}
RETIRED_NAMES = re.compile(
    r"(?:^|_)(?:rules?|freedom|told_apart|promise|settling|settled|twins?)(?:_|$)|^worth(?:_|$)|^slots?$"
    r"|^(?:held|pace|keeper|RULES|RuleOptimizer|Held|Pace|Keeper|Settling)$"
)


def faults(sentence: str) -> Iterator[str]:
    """The retired words in a text, each with what to write instead."""
    flat = " ".join(sentence.split())
    for pattern, instead in PATTERNS.items():
        for found in pattern.finditer(flat):
            around = flat[max(0, found.start() - 30) : found.end() + 30]
            yield f"{found.group()!r} in {around!r}: write {instead}"


def sentences_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the docstrings of a source file and of the literals that are sentences, not names or patterns."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    patterns = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
        for argument in node.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside | patterns:
            text = node.value
        else:
            continue
        if " " in text.strip():
            # Names of the code in backticks, and doctests, are not sentences.
            yield node.lineno, re.sub(r"`[^`]*`|^ *(?:>>>|\.\.\.).*$", "", text, flags=re.MULTILINE)


def prose_of(path: Path) -> str:
    """The text of a page without code blocks, code spans and addresses of links."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)


def named(path: Path) -> str:
    return str(path.relative_to(HERE))


@pytest.mark.parametrize("folder", sorted({named(path.parent) for path in SOURCES}))
def test_no_sentence_of_the_code_has_a_retired_word(folder: str) -> None:
    found = [
        f"{named(path)}:{line}: {fault}"
        for path in SOURCES
        if named(path.parent) == folder
        for line, text in sentences_of(path)
        for fault in faults(text)
    ]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_has_a_retired_word(page: Path) -> None:
    found = list(faults(prose_of(page)))
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def public_names() -> Iterator[str]:
    """Names in `lanewise.__all__` with fields and methods; all modules, their classes, functions and fields."""
    for name in lanewise.__all__:
        yield name
        value = getattr(lanewise, name)
        if inspect.isclass(value):
            if dataclasses.is_dataclass(value):
                yield from (f"{name}.{field.name}" for field in dataclasses.fields(value))
            yield from (f"{name}.{method}" for method in vars(value) if not method.startswith("_"))
        elif inspect.isfunction(value):
            yield from (f"{name}.{argument}" for argument in inspect.signature(value).parameters)
    for module in pkgutil.walk_packages(lanewise.__path__, "lanewise."):
        yield module.name
        if "__main__" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if not name.startswith("_") and getattr(value, "__module__", None) == module.name:
                yield f"{module.name}.{name}"
                if inspect.isclass(value) and dataclasses.is_dataclass(value):
                    yield from (f"{module.name}.{name}.{field.name}" for field in dataclasses.fields(value))


def test_no_public_name_is_a_retired_word() -> None:
    found = sorted({name for name in public_names() if RETIRED_NAMES.search(name.rpartition(".")[2])})
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_no_option_and_no_help_text_has_a_retired_word() -> None:
    command = typer.main.get_command(app)
    found = []
    for name, each in sorted({"lanewise": command, **getattr(command, "commands", {})}.items()):
        found += [f"{name}: {fault}" for fault in faults(each.help or "")]
        for parameter in each.params:
            found += [f"{name} {parameter.name}: {fault}" for fault in faults(getattr(parameter, "help", None) or "")]
            found += [f"{name} {option}" for option in parameter.opts if RETIRED_NAMES.search(option.strip("-"))]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.parametrize(
    "sentence",
    [
        "the rule of the recipe",
        "which update rules there are",
        "2 freedom",
        "cannot be told from the winner",
        "candidates that are told apart",
        "the worth of a rung",
        "what would settle it",
        "twins of a layer",
        "nobody has won yet",
        "labels that y has not",
        "places dealt out at random",
        "12 left at 12%",
        "8 fresh repeats",
        "the loss tells equal ones",
        "says nothing of others",
        "a value as good?",
        "until it has had its say",
        "3 still in",
        "no row differs",
    ],
)
def test_the_retired_words_are_found(sentence: str) -> None:
    assert list(faults(sentence))


@pytest.mark.parametrize(
    "sentence",
    [
        "the one-standard-error rule",
        "a rule of thumb",
        "4 degrees of freedom",
        "stopped at 12.5%",
        "too close to call",
        "the paper's linear rule",
        "3 still training",
        "8 new training runs",
        "it lasts from the start",
    ],
)
def test_the_fields_own_words_are_left_alone(sentence: str) -> None:
    assert not list(faults(sentence))
