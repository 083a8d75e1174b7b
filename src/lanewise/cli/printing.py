"""What commands print when they are done: words for people, JSON for programs."""

import json
from pathlib import Path

from lanewise.cli.console import stderr
from lanewise.study.question import Answer
from lanewise.study.verdict import Verdict


def print_found(verdict: Verdict, folder: Path, as_json: bool) -> None:
    """The verdict in words, and where the record is; as JSON too if asked for."""
    print_verdict(verdict, as_json)
    stderr.print(f"Report: {folder / 'report.html'}\nRecipe: {folder / 'best.yaml'}", markup=False)


def print_verdict(verdict: Verdict, as_json: bool) -> None:
    """The verdict in words; as JSON too if asked for."""
    from lanewise.report import terminal

    terminal.print_verdict(verdict, stderr)
    if as_json:
        print(json.dumps(verdict.to_dict(), indent=2))


def print_answer(answer: Answer, folder: Path, as_json: bool) -> None:
    """What was found about given recipes, in words and as a table, and where the record is; as JSON if asked for."""
    from lanewise.report import answers_in_terminal

    answers_in_terminal.print_answer(answer, stderr)
    if as_json:
        print(json.dumps(answer.to_dict(), indent=2))
    stderr.print(f"Report: {folder / 'report.html'}\nRecipe: {folder / 'best.yaml'}", markup=False)
