"""`--import`: parts of a user's own by name on the command line, through a record, and back from it."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.own_parts import ALL, HEAD, SCHEDULE, SPACE
from tests.warm_process import lanewise

SMALL = ["--model", "mlp:8", "--candidates", "4", "--repeats", "1", "--generations", "1", "--confirm", "2"]


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of `lanewise` in a process of its own, for it imports modules."""
    return lanewise(folder, *words, COLUMNS="400")


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `my_parts.py`, `space.yaml` and a race by them in `run`."""
    folder = tmp_path_factory.mktemp("own parts")
    (folder / "my_parts.py").write_text(ALL)
    (folder / "space.yaml").write_text(SPACE)
    words = ["--space", "space.yaml", "--pruner", "keep_two", "--metric", "calm", *SMALL, "--out", "run"]
    status, _, error = run(folder, "race", "--import", "my_parts", *words)
    assert status == 0, error
    return folder


def test_the_record_names_the_modules(raced: Path) -> None:
    imports = json.loads((raced / "run" / "run.json").read_text())["imports"]
    kinds = {"heavy_ball": "optimizer", "slow_start": "schedule", "keep_two": "pruner", "calm": "metric"}
    assert {name: one["kind"] for name, one in imports.items()} == kinds
    assert {one["module"] for one in imports.values()} == {"my_parts"}
    assert "heavy_ball: my_parts" in (raced / "run" / "best.yaml").read_text()
    report = (raced / "run" / "report.html").read_text(encoding="utf-8")
    assert "heavy ball" in report
    words = html.unescape(re.sub("<[^>]+>", "", report))
    for command in ("lanewise race --import my_parts ", "lanewise train best.yaml --import my_parts "):
        assert command in words


@pytest.mark.parametrize(
    "words",
    [("train", "run"), ("train", "run/best.yaml"), ("ablate", "run/best.yaml"), ("compare", "run/best.yaml", "s.yaml")],
)
def test_without_the_import_one_line_asks_for_it(words: tuple[str, ...], raced: Path) -> None:
    status, _, error = run(raced, *words)
    assert status == 2
    assert error.startswith("lanewise: ")
    assert error.rstrip().endswith("not registered; give --import my_parts")
    assert error.count("\n") == 1


def test_its_winner_is_trained_and_saved_and_its_record_told(raced: Path) -> None:
    status, out, error = run(raced, "train", "run", "--import", "my_parts", "--save", "w.safetensors")
    assert status == 0, error
    assert "test calm: " in out
    status, out, error = run(raced, "list", "run")
    assert status == 0
    assert "test calm" in out
    status, _, error = run(raced, "resume", "run", "--import", "my_parts")
    assert status == 0, error


def test_recipes_are_compared_ablated_and_swept(raced: Path) -> None:
    few = ["--import", "my_parts", "--repeats", "2", "--epochs", "1", "--model", "mlp:8", "--data", "digits"]
    (raced / "other.yaml").write_text(SPACE.replace("log(0.001, 0.05) * choice(slow_start(), cosine())", "0.01"))
    status, out, error = run(raced, "compare", "other.yaml", "run/best.yaml", *few, "--out", "compared")
    assert status == 0, error
    assert "heavy_ball" in out + error
    words = ["--field", "beta", "--values", "0.5,0.9"]
    for command in (["ablate", "run/best.yaml", "--no-pairs"], ["sweep", "other.yaml", *words]):
        status, _, error = run(raced, *command, *few, "--out", command[0])
        assert status == 0, error


def test_a_stopped_race_goes_on_with_the_import_only(raced: Path, tmp_path: Path) -> None:
    (tmp_path / "my_parts.py").write_text(ALL)
    (tmp_path / "space.yaml").write_text(SPACE)
    stop = (
        "import sys, lanewise.study.race as r\nfrom lanewise.cli import main\nkeep = r.leave_at_rung\n"
        "def stopped(*a, **k):\n    keep(*a, **k)\n    raise KeyboardInterrupt\nr.leave_at_rung = stopped\nmain()"
    )
    words = [
        "race",
        "--import",
        "my_parts",
        "--space",
        "space.yaml",
        *SMALL,
        "--pruner",
        "keep_two",
        "--metric",
        "calm",
    ]
    command = [sys.executable, "-c", stop, *words, "--checkpoint-every", "0", "--out", "cut"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert "go on with: lanewise resume cut --import my_parts" in " ".join(done.stderr.split())
    status, _, error = run(tmp_path, "resume", "cut")
    assert status == 2
    assert error.rstrip().endswith("not registered; give --import my_parts")
    changed = ALL.replace("* state", "* 1.0 * state")
    (tmp_path / "my_parts.py").write_text(changed)
    status, _, error = run(tmp_path, "resume", "cut", "--import", "my_parts")
    assert status == 2
    assert "the code of the optimizer heavy_ball in my_parts changed since" in error
    (tmp_path / "my_parts.py").write_text("# a comment changes nothing\n" + ALL)
    status, _, error = run(tmp_path, "resume", "cut", "--import", "my_parts")
    assert status == 0, error
    found, whole = (json.loads((place / "verdict.json").read_text()) for place in (tmp_path / "cut", raced / "run"))
    assert found["finalists"] == whole["finalists"]


def test_an_unknown_word_leads_to_the_option(tmp_path: Path) -> None:
    status, _, error = run(tmp_path, "show", "my_own()")
    assert status == 2
    assert error.rstrip().endswith("warmup, wsd, and what the modules given with --import register")
    status, _, error = run(tmp_path, "race", "--pruner", "my_own")
    assert status == 2
    assert error.rstrip().endswith("--pruner 'my_own': must be one of lanewise, cut, halving, hyperband, median, none")


@pytest.mark.parametrize(
    ("module", "text", "why"),
    [
        ("nowhere", None, "--import nowhere: there is no module 'nowhere' in the current folder"),
        ("no-name", None, "--import 'no-name': must be the name of a module"),
        ("bad", "1 / 0", "--import bad: importing it raised ZeroDivisionError: division by zero"),
        ("bad", "import sys; sys.exit(3)", "--import bad: importing it raised SystemExit: 3"),
        ("bad", "import missing_thing", "--import bad: importing it raised ModuleNotFoundError: No module named"),
        ("bad", "def broken(:", "--import bad: importing it raised SyntaxError: invalid syntax"),
        ("bad", HEAD + SCHEDULE.replace("SlowStart", "Cosine"), "--import bad: register: name = 'cosine': is taken"),
        (
            "bad",
            HEAD + SCHEDULE.replace("@lw.register", "@lw.register(name='2x')"),
            "--import bad: register: name = '2x': must be a Python identifier",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_in_one_line(
    module: str, text: str | None, why: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / f"{module}.py").write_text(text)
    status, out, error = run(tmp_path, "show", "--import", module, "cosine()")
    assert (status, out) == (2, "")
    assert error.startswith(f"lanewise: {why}")
    assert error.count("\n") == 1


def test_several_modules_are_imported_in_order(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(HEAD + SCHEDULE)
    (tmp_path / "two.py").write_text(
        "import lanewise as lw\nimport sys\nassert 'one' in sys.modules\n"
        "from lanewise.recipe.language import parse\nassert parse('slow_start()') == sys.modules['one'].SlowStart()\n"
    )
    words = ["--import", "one", "--import", "two", "slow_start(floor=0.5)", "--steps", "4"]
    status, out, error = run(tmp_path, "show", *words)
    assert status == 0, error
    assert out.splitlines()[-1].split("  ")[:2] == ["step 0: 0.5", "step 1: 0.625"]
