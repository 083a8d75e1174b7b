"""How the command line starts: what it imports, what it shows first, and how each command's help ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from lanewise import cli
from lanewise.cli.app import COMMANDS

NAMES = [command.__name__.removesuffix("_runs") for command in COMMANDS]
HEAVY = {"torch", "scipy", "sklearn", "optuna", "pyarrow", "plotly", "sqlalchemy", "pandas"}


def started(*words: str, **environment: str) -> tuple[str, set[str]]:
    """(what `lanewise` prints in a process of its own, the packages that were imported for that)."""
    code = (
        "import sys\nfrom lanewise.cli import main\nsys.argv[0] = 'lanewise'\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\nIMPORTED', *{name.partition('.')[0] for name in sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert ran.returncode == 0, ran.stderr
    shown, _, imported = ran.stdout.rpartition("\nIMPORTED ")
    return shown, set(imported.split())


def help_of(*words: str) -> str:
    """The help of a command."""
    shown = CliRunner().invoke(cli.app, [*words, "--help"])
    assert shown.exit_code == 0, shown.exception
    return shown.stdout


@pytest.mark.parametrize("words", [(), ("--help",), ("--version",), *((name, "--help") for name in NAMES)])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    shown, imported = started(*words)
    assert shown.strip()
    assert not imported & HEAVY


def test_a_list_of_runs_is_shown_without_torch(tmp_path: Path) -> None:
    shown, imported = started("list", str(tmp_path))
    assert "no runs in" in shown
    run = tmp_path / "race-001"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"lanewise": 1}))
    shown, more = started("list", str(tmp_path))
    assert "another version" in shown
    assert not (imported | more) & HEAVY


def test_completion_imports_no_torch() -> None:
    shown, imported = started(
        _LANEWISE_COMPLETE="complete_bash", COMP_WORDS="lanewise ra", COMP_CWORD="1", _TYPER_COMPLETE_ARGS="lanewise ra"
    )
    assert "race" in shown.split()
    assert not imported & HEAVY


def test_alone_it_shows_the_three_commands_that_matter_first() -> None:
    shown = CliRunner().invoke(cli.app, [])
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines() if "lanewise " in line and line.startswith("  ")]
    assert [line[0] for line in lines] == ["race", "train", "compare"]
    for line in lines:
        example = line[line.index("lanewise") :]
        assert example[1] == line[0]
    assert len(shown.stdout.splitlines()) < 10


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_an_example_whose_options_there_are(name: str) -> None:
    text = help_of(name).rstrip()
    *_, title, example = text.splitlines()
    assert title.strip() == "Example:"
    words = example.split()
    assert words[:2] == ["lanewise", name]
    known = {option for one in get_command(cli.app).commands[name].params for option in one.opts}  # type: ignore[attr-defined]
    assert {word for word in words if word.startswith("--")} <= known


def test_every_command_is_described_in_a_line_that_fits() -> None:
    table = help_of().partition("Commands:")[2]
    shown = {line.split()[0]: line.strip() for line in table.splitlines() if line[:2] == "  " and line[2:3].isalpha()}
    assert set(shown) >= set(NAMES)
    assert all(shown[name].endswith(".") and not shown[name].endswith("...") for name in NAMES)


def test_the_first_help_ends_with_an_example() -> None:
    *_, title, example = help_of().rstrip().splitlines()
    assert title.strip() == "Example:"
    assert example.strip().startswith("lanewise race --")
