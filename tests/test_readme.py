"""What the README shows works as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lanewise.cli import app
from lanewise.recipe import file as recipe_file

TEXT = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    if "report.html" in code:
        assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_space_is_the_same_in_yaml_and_in_python() -> None:
    (text,) = blocks("yaml")
    (code,) = [block for block in blocks("python") if "space = " in block]
    names: dict[str, object] = {}
    exec(code, names)
    assert recipe_file.load(text)[0] == names["space"]


def test_every_command_line_has_options_that_exist() -> None:
    commands = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if "lanewise " in line]
    assert len(commands) > 5
    for command in commands:
        name, *arguments = shlex.split(command)[1:]
        shown = CliRunner().invoke(app, [name, "--help"]).output
        for option in [word for word in arguments if word.startswith("--")]:
            assert option in shown, command
