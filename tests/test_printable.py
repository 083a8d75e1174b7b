"""Text from files and users: what would steer a terminal or flood it is made visible, and all else stays."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from lanewise.errors import InputError, WriteError
from lanewise.printable import LONGEST, cut, printable
from lanewise.report.escape import escape
from lanewise.report.terminal.console import SafeConsole

STEERING = {
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x1b[2J": r"\x1b[2J",
    "\x1b]52;c;aGk=\x07": r"\x1b]52;c;aGk=\x07",
    "\x9b31m": r"\x9b31m",
    "a\u202etxt.exe": r"a\u202etxt.exe",
    "\u2066x\u2069": r"\u2066x\u2069",
    "a\0b": r"a\x00b",
    "one\rtwo": r"one\rtwo",
    "back\x08\x7f": r"back\x08\x7f",
    "lone \udcff": r"lone \udcff",
    "hidden \u200b\U000e0041": r"hidden \u200b\U000e0041",
    "lines\u2028\u2029\x85": r"lines\u2028\u2029\x85",
}
PLAIN = ["plain", "Größe, naïve, €", "日本語", "עברית", "नमस्\u200dते", "👩\u200d🔬", "two\nlines\tand a tab", "\\x1b"]


@pytest.mark.parametrize("text", STEERING)
def test_what_steers_is_made_visible(text: str) -> None:
    assert printable(text) == STEERING[text]
    assert printable(printable(text)) == printable(text)
    assert str(InputError(f"name {text}")) == f"name {STEERING[text]}"
    assert STEERING[text] in escape(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_does_not_stays(text: str) -> None:
    assert printable(text) == text


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    message = str(InputError(f"name {'x' * 10**6}: must be shorter"))
    assert len(message) <= LONGEST
    assert message.startswith("name xxx")
    assert message.endswith("xxx: must be shorter")
    assert "characters left out" in message
    assert cut("short") == "short"
    assert isinstance(WriteError("x"), InputError)


@pytest.mark.parametrize("text", STEERING)
def test_a_console_shows_it_wherever_it_stands(text: str) -> None:
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, width=200)
    table = Table("name")
    table.add_row(text)
    for shown in (text, Text(text, style="bold red"), table, f"[red]{text}[/] :smile:"):
        console.print(shown)
    plain = out.getvalue()
    for style in ("\x1b[1;31m", "\x1b[0m", "\x1b[1m"):
        plain = plain.replace(style, "")
    assert printable(plain) == plain
    # The whole of it is not: a narrow column cuts it, and Rich itself drops a bell.
    assert plain.count(STEERING[text][:2]) >= 4
    assert "[red]" in plain
    assert ":smile:" in plain


def test_the_command_line_shows_no_escape_of_a_record(tmp_path: Path) -> None:
    run = tmp_path / "race-\x1b]0;x\x07"
    run.mkdir()
    (run / "run.json").write_text(
        json.dumps({"lanewise": 3, "data": "\x1b[2J[red]x[/]", "model": "m\u202e\0", "asked": "race"})
    )
    command = [sys.executable, "-m", "lanewise", "list", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=None)
    said = ended.stdout + ended.stderr
    assert printable(said) == said
    assert "race-" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_output_that_is_full_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "lanewise", "list", "--json"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        "lanewise: standard output cannot be written to: No space left on device\n",
    )
