"""What compare, ablate and sweep show: pages that hold together, and terminals that are wide enough."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import escape
from rich.console import Console
from typer.testing import CliRunner

from lanewise import cli
from lanewise.api.questions import read_answer
from lanewise.errors import InputError
from lanewise.questions.ablation import Ablation
from lanewise.questions.comparison import Comparison
from lanewise.questions.question import Question
from lanewise.questions.side_by_side import SideBySide
from lanewise.questions.sweep import Sweep
from lanewise.recipe import file as recipe_file
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder
from lanewise.report.figures.answers import positions
from lanewise.report.page import answers
from lanewise.report.terminal.answers import print_answer
from tests.questions.side_by_side import RECIPE, run_of
from tests.questions.test_side_by_side import APART, PLAIN, STRUCTURES

ODD = "<b>&50%"


@pytest.fixture(scope="module")
def runs() -> dict[str, SideBySide]:
    """One finished run of each kind."""
    questions: dict[str, tuple[Question, list[Recipe]]] = {
        "compare": (Comparison({ODD: RECIPE, "plain": PLAIN}), [RECIPE, PLAIN]),
        "ablate": (Ablation(replace(APART, epochs=1)), [replace(one, epochs=1) for one in STRUCTURES["ablate"]]),
        "sweep": (Sweep(RECIPE, "l2", "0, 1e-4, 1e-2, 1"), [RECIPE]),
    }
    found = {asked: run_of(*given) for asked, given in questions.items()}
    for run in found.values():
        run.run()
    return found


@pytest.mark.parametrize("asked", ["compare", "ablate", "sweep"])
def test_a_page_says_what_was_found_and_escapes_names(runs: dict[str, SideBySide], asked: str) -> None:
    page = answers.render(runs[asked])
    body = page.partition("<main>")[2].partition("</main>")[0]
    assert "<b>&50%" not in body
    figures = json.loads(re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page)[0])
    assert set(figures) == {"compare": {"leads"}, "ablate": {"worths", "pairs"}, "sweep": {"sweep"}}[asked]
    assert all(f'id="{name}"' in body for name in figures)
    for words in (runs[asked].answer.headline, " ".join(runs[asked].answer.details())):
        assert str(escape(words)) in body


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("asked", ["compare", "ablate", "sweep"])
def test_tables_and_plots_fit_the_terminal(runs: dict[str, SideBySide], asked: str, width: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as shown:
        print_answer(runs[asked].answer, console)
    lines = shown.get().splitlines()
    recipe = recipe_file.dump(runs[asked].answer.best).splitlines()
    assert max(len(line) for line in lines if line.rstrip() not in recipe) <= width
    for word in {"compare": ["best", "plain"], "ablate": ["momentum", "worth"], "sweep": ["0.01", "l2"]}[asked]:
        assert any(word in line for line in lines)
    if width >= 80 and asked == "ablate":
        # The intervals are what the table is for: nothing of them is cut off.
        rows = [line for line in lines if re.search(r"\d\.\d\d \(", line) and "[" not in line]
        assert rows
        assert all(re.search(r"\([^…]*\)", line) for line in rows)


def test_zero_stands_apart_on_a_logarithmic_axis() -> None:
    places, ticks = positions([0.0, 1e-4, 1e-2], log=True)
    assert places == [-5.0, -4.0, -2.0]
    assert ticks["tickvals"][0] == -5.0
    assert ticks["ticktext"][0] == "0"


def test_the_commands_from_file_to_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = "lanewise: 1\noptimizer: sgd(lr=0.1)\nepochs: 1\ntask: {data: digits, model: 'mlp:8'}\n"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.yaml").write_text(short.replace("0.1", {"a": "0.1", "b": "0.0"}[name]))
    shown = CliRunner().invoke(cli.app, ["compare", "a/best.yaml", "b/best.yaml", "--repeats", "2", "--json"])
    assert shown.exit_code == 0, shown.exception
    told = json.loads(shown.stdout)
    assert told["best"] == "a/best"
    assert told == read_answer(RunFolder.reopened(Path("runs/compare-001"))).to_dict()
    again = CliRunner().invoke(cli.app, ["resume", "runs/compare-001", "--json"])
    assert json.loads(again.stdout) == told
    (listed,) = json.loads(CliRunner().invoke(cli.app, ["list", "--json"]).stdout)
    assert (listed["state"], listed["asked"]) == ("finished", "compare")
    assert listed["found"].startswith("a/best: validation accuracy ")
    refused = CliRunner().invoke(cli.app, ["train", "runs/compare-001"]).exception
    assert str(refused).endswith("train its recipe: runs/compare-001/best.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "a.yaml", "a.yaml"], "a.yaml: is given twice"),
        (["compare", "a.yaml", "other.yaml"], "other.yaml: names model cnn, another file mlp; say which with --model"),
        (["ablate", "bare.yaml"], "bare.yaml: names no data"),
        (["ablate", "space.yaml"], "recipe: has ranges in it, so it is a space"),
        (["sweep", "a.yaml", "--field", "nosuch", "--values", "0,1"], "field 'nosuch': unknown in this recipe"),
        (["sweep", "a.yaml", "--field", "l2", "--values", "0,-1"], "values: -1: Recipe.l2 = -1: must be a number"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = "task: {data: digits, model: mlp}\n"
    (tmp_path / "a.yaml").write_text("lanewise: 1\noptimizer: sgd(lr=0.1)\n" + known)
    (tmp_path / "other.yaml").write_text("lanewise: 1\noptimizer: sgd(lr=0.2)\n" + known.replace("mlp", "cnn"))
    (tmp_path / "bare.yaml").write_text("lanewise: 1\noptimizer: sgd(lr=0.1)\n")
    (tmp_path / "space.yaml").write_text("lanewise: 1\noptimizer: sgd(lr=log(0.1, 1))\n" + known)
    error = CliRunner().invoke(cli.app, words).exception
    assert isinstance(error, InputError)
    assert str(error).startswith(message)
    assert not (tmp_path / "runs").exists()
