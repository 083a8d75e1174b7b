"""What commands print when they are done: words for people, JSON for programs."""

import json
from pathlib import Path

from lanewise.cli.console import results
from lanewise.verdict.answer import Answer
from lanewise.verdict.verdict import Verdict


def print_found(found: Verdict | Answer, folder: Path, as_json: bool) -> None:
    """What was found in words, and where the record is; or as JSON, with the words on standard error."""
    print_words(found, as_json)
    console = results(as_json)
    console.print(f"Report: {folder / 'report.html'}\nRecipe: {folder / 'best.yaml'}", markup=False)


def print_words(found: Verdict | Answer, as_json: bool) -> None:
    """What was found in words, of given recipes as a table too; as JSON too with `--json`."""
    from lanewise.report.terminal import answers as answers_in_terminal
    from lanewise.report.terminal import race as terminal

    console = results(as_json)
    if isinstance(found, Verdict):
        terminal.print_verdict(found, console)
    else:
        answers_in_terminal.print_answer(found, console)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
