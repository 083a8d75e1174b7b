import contextlib
import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.control import strip_control_codes
from rich.text import Text

from lanewise.parts.optimizers import SGD
from lanewise.recipe.file import dump, load
from lanewise.recipe.recipe import Recipe
from lanewise.report.terminal import race as terminal
from lanewise.report.terminal.race import LiveDisplay, PlainDisplay
from lanewise.study.progress import Progress, Standing
from lanewise.study.race import Study
from tests.report.studies import Recorder

MARKUP = "a [bold]name[/bold] with [red and [/] in it"
BLUE_BAR, SHOW_CURSOR = "\x1b[36m", "\x1b[?25h"


def screen(width: int = 80, height: int = 24, **environment: str) -> Console:
    """A terminal of a given size that keeps what it is sent."""
    variables = {"TERM": "xterm-256color"} | environment
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, highlight=False, _environ=variables
    )


def pipe() -> Console:
    """No terminal: a file."""
    return Console(file=io.StringIO(), highlight=False, _environ={})


def sent(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def progress(done: float, phase: str = "race", seconds_left: float | None = 12.0) -> Progress:
    standings = [
        Standing(n, Recipe(optimizer=SGD(lr=0.1 * (n + 1))), done, 0.5 + n, 0.9 - n / 10, n < 2) for n in range(5)
    ]
    return Progress(phase, done, seconds_left, 3, 5, standings, "recall")


def test_kind_of_display_follows_the_console() -> None:
    assert isinstance(terminal.observer(screen()), LiveDisplay)
    assert isinstance(terminal.observer(pipe()), PlainDisplay)
    assert isinstance(terminal.observer(screen(TERM="dumb")), PlainDisplay)


@pytest.mark.parametrize("width", [1, 8, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 5, 24])
def test_live_display_survives_any_size(width: int, height: int, study: Study, recorder: Recorder) -> None:
    console = screen(width, height)
    with terminal.observer(console) as display:
        for told in recorder.told:
            display.note(told) if isinstance(told, str) else display.show(told)
            display._live.refresh()
    terminal.print_verdict(study.verdict, console)
    assert SHOW_CURSOR in sent(console)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_of_the_live_display_is_wider_than_the_terminal(width: int, recorder: Recorder, study: Study) -> None:
    told = [one for one in recorder.told if isinstance(one, Progress)]
    display = LiveDisplay(screen(width))
    for one in told:
        display.show(replace(one, phase="confirming 6 finalists in 8 new training runs"))
        console = Console(file=io.StringIO(), width=width, soft_wrap=True)
        console.print(display._live.get_renderable())
        lines = sent(console).splitlines()
        assert max(cell_len(line) for line in lines) <= width
        # One line for each leader and eight around them: nothing is broken into two.
        assert len(lines) == min(len(one.standings), 16) + terminal.LINES_AROUND_THE_TABLE
        assert any(str(one.standings[0].candidate) in line and "SGD" in line for line in lines)


def test_wide_terminals_show_more_than_narrow_ones() -> None:
    standings = progress(0.5).standings
    wide, narrow = (terminal.leaders(standings, "accuracy", width) for width in (100, 40))
    assert [column.header for column in wide.columns] == ["#", "accuracy", "loss", "trained", "recipe"]
    assert [column.header for column in narrow.columns] == ["#", "accuracy", "recipe"]


def test_scores_are_called_what_the_study_calls_them(recorder: Recorder) -> None:
    console = screen(100)
    with terminal.observer(console) as display:
        display.show(progress(0.3))
        display._live.refresh()
    assert "recall" in sent(console)
    assert {one.metric for one in recorder.told if isinstance(one, Progress)} == {"accuracy"}


def test_live_display_is_closed_when_the_race_fails() -> None:
    console = screen()
    display = terminal.observer(console)
    with contextlib.suppress(KeyboardInterrupt), display:
        display.show(progress(0.3))
        raise KeyboardInterrupt
    assert not display._live.is_started
    assert SHOW_CURSOR in sent(console)


def test_no_color_is_respected() -> None:
    shown = {}
    for setting in ({}, {"NO_COLOR": "1"}):
        console = screen(**setting)
        with terminal.observer(console) as display:
            display.show(progress(0.3))
            display._live.refresh()
        shown[len(setting)] = sent(console)
    assert BLUE_BAR in shown[0]
    assert BLUE_BAR not in shown[1]


@pytest.mark.parametrize("console", [screen(200), pipe()])
def test_notes_are_text_not_markup(console: Console) -> None:
    with terminal.observer(console) as display:
        display.note(MARKUP)
        display.show(progress(0.5, phase=MARKUP))
    assert MARKUP in strip_control_codes(Text.from_ansi(sent(console)).plain)


def test_plain_lines_are_few() -> None:
    console = pipe()
    with terminal.observer(console) as display:
        for step in range(1001):
            display.show(progress(step / 1000))
    lines = sent(console).splitlines()
    assert len(lines) == 11
    assert (
        lines[0]
        == "race: 0%, about 12 s left, 3 of 5 recipes still training, leading: candidate 0 (recall 90.0%, loss 0.5000)"
    )
    assert lines[-1].startswith("race: 100%")


@pytest.mark.parametrize("left", [None, 0.2])
def test_only_the_last_plain_line_says_100_percent_and_how_long_it_took(left: float | None) -> None:
    console, now = pipe(), [10.0]
    with PlainDisplay(console, clock=lambda: now[0]) as display:
        for done in (0.4, 0.997, 1.0, 1.0):
            now[0] += 61.0
            display.show(progress(done, seconds_left=left))
        now[0] += 6.0
    *lines, last = sent(console).splitlines()
    assert not any("100%" in line for line in lines)
    assert last.startswith("race: 100%, took 4 min 10 s, 3 of 5 recipes still training, leading: candidate 0")
    # A run that fails or is stopped did not come so far, nor does one that showed nothing.
    console = pipe()
    with contextlib.suppress(KeyboardInterrupt), PlainDisplay(console) as display:
        display.show(progress(1.0))
        raise KeyboardInterrupt
    with PlainDisplay(console):
        pass
    assert "100%" not in sent(console)


def test_a_live_display_does_not_measure_what_is_done() -> None:
    console = screen(100)
    with terminal.observer(console) as display:
        display.show(progress(1.0, seconds_left=None))
        display._live.refresh()
    assert "99%, finishing" in sent(console)
    assert "measuring" not in sent(console)


def test_plain_display_says_something_once_a_minute_and_at_every_phase() -> None:
    console, now = pipe(), [0]
    display = PlainDisplay(console, clock=lambda: now[0])
    for now[0] in range(0, 600, 10):
        display.show(progress(0.01, seconds_left=None))
    assert len(sent(console).splitlines()) == 10
    display.show(progress(0.011, phase="confirming", seconds_left=None))
    assert sent(console).splitlines()[-1].startswith("confirming: 1%, measuring the time left, 3 of 5")


def test_verdict_names_finalists_and_gives_the_recipe_whole(study: Study) -> None:
    console = Console(file=io.StringIO(), width=40, highlight=False)
    terminal.print_verdict(study.verdict, console)
    shown = sent(console)
    rows = [line.split()[0] for line in shown.splitlines() if "%" in line and line.startswith(" ")]
    assert rows == [str(finalist.candidate) for finalist in study.verdict.finalists]
    yaml = dump(study.verdict.winner)
    assert yaml in shown
    assert load(yaml)[0] == study.verdict.winner


def test_verdict_of_one_finalist_compares_nothing(diverged: Study) -> None:
    console = Console(file=io.StringIO(), width=100, highlight=False)
    terminal.print_verdict(diverged.verdict, console)
    assert "Finalists" not in sent(console)
    assert "Best recipe: SGD" in sent(console)
    assert "nothing to compare it with" in " ".join(sent(console).split())


def test_lead_is_marked_by_whether_it_is_told_apart(study: Study) -> None:
    verdict = study.verdict
    other = verdict.finalists[1]
    assert other.difference is not None
    sure = replace(other, difference=replace(other.difference, mean=0.02, low=0.01, high=0.03))
    unsure = replace(other, difference=replace(other.difference, mean=-0.00001, low=-0.01, high=0.01))
    table = terminal.finalists_table(replace(verdict, finalists=(verdict.finalists[0], sure, unsure)), 120)
    assert list(table.columns[2].cells) == ["", "+2.00 (+1.00 to +3.00)", "-0.001 (-1.000 to +1.000)"]
    assert list(table.columns[3].cells) == ["winner", "worse", "too close to call"]


def test_no_line_in_a_file_ends_in_spaces(study: Study) -> None:
    buffer = io.StringIO()
    terminal.print_verdict(study.verdict, Console(file=buffer, width=80))
    lines = buffer.getvalue().splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines[:3])) <= 80
