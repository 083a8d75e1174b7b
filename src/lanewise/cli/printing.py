"""What commands print when they are done: words for people, JSON for programs."""

import json
from pathlib import Path

from lanewise.cli.console import stderr
from lanewise.study.question import Answer
from lanewise.study.verdict import Verdict


def print_found(found: Verdict | Answer, folder: Path, as_json: bool) -> None:
    """What was found in words, and where the record is; as JSON too if asked for."""
    print_words(found, as_json)
    stderr.print(f"Report: {folder / 'report.html'}\nRecipe: {folder / 'best.yaml'}", markup=False)


def print_words(found: Verdict | Answer, as_json: bool) -> None:
    """What was found in words, of given recipes as a table too; as JSON too if asked for."""
    from lanewise.report import answers_in_terminal, terminal

    if isinstance(found, Verdict):
        terminal.print_verdict(found, stderr)
    else:
        answers_in_terminal.print_answer(found, stderr)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
