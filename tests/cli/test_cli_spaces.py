"""The default space and the portfolio on the command line."""

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from lanewise.cli import app

FEW = "--model mlp:8 --candidates 4 --repeats 1 --confirm 2 --finalists 2 --generations 1 --epochs 1 --threads 1 --json"


def raced(out: Path, *words: str) -> tuple[dict[str, object], str]:
    """(the verdict, the words of the report) of a small race on digits."""
    done = CliRunner().invoke(app, ["race", *FEW.split(), "--out", str(out), *words])
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout), re.sub(r"<[^>]+>", "", (out / "report.html").read_text())


def test_the_default_space_has_a_baseline_and_a_file_that_can_be_raced_again(tmp_path: Path) -> None:
    found, report = raced(tmp_path / "first")
    assert {"candidate": 0, "name": "adam"} in [
        {name: one.get(name) for name in ("candidate", "name")}
        for one in found["finalists"]  # type: ignore[attr-defined]
    ]
    assert "lanewise race --data digits --model mlp:8 --space auto --epochs 1 --candidates 4" in report
    again, report = raced(tmp_path / "second", "--space", str(tmp_path / "first" / "space.yaml"))
    assert again["baseline"] is None
    assert "--portfolio" not in report


def test_it_can_be_raced_without_the_portfolio(tmp_path: Path) -> None:
    found, report = raced(tmp_path / "run", "--space", "table", "--no-portfolio")
    assert found["baseline"] is None
    assert "--space table --epochs 1 --no-portfolio --candidates 4" in report
