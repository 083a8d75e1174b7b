"""The section on what mattered: its bars, its words, and nothing where nothing is known."""

from dataclasses import dataclass

from lanewise.report.figures.plots import Figure
from lanewise.report.page.importance import what_mattered
from lanewise.report.page.parts import Drawing, Quiet
from lanewise.sampling.importance import Importance


@dataclass
class Known:
    """As much of a verdict as the section reads."""

    importance: tuple[Importance, ...]


@dataclass
class Finished:
    """As much of a study."""

    verdict: Known


def section(*found: Importance) -> tuple[str, list[Figure]]:
    drawn: list[Figure] = []
    part = what_mattered(Finished(Known(found)), drawn)  # type: ignore[arg-type]
    if part is None:
        return "", drawn
    figure, note = part.parts
    assert isinstance(figure, Drawing)
    assert isinstance(note, Quiet)
    return f"{part.title}. {figure.figure.title}. {note.text}", drawn


def test_one_bar_for_each_setting_the_first_on_top() -> None:
    page, drawn = section(
        Importance("lr", 0.7, True, 40), Importance("l2<b>", 0.2, True, 40), Importance("dropout", 0.1, False, 12)
    )
    assert "What mattered" in page
    assert "It misses a lot: in 100 simulated races of 48 candidates" in page
    assert "lr and l2<b> mattered" in page
    (bars,) = drawn[0].variants[""]["data"]
    assert bars["x"] == [10.0, 20.0, 70.0]
    assert bars["y"] == ["dropout", "l2&lt;b&gt;", "lr"]
    assert bars["marker"]["color"] == ["--c1@0.3", "--c1", "--c1"]
    assert bars["customdata"] == ["12 candidates; chance alone could do this", "40 candidates", "40 candidates"]


def test_what_chance_could_do_is_said() -> None:
    page, _ = section(Importance("lr", 1.0, False, 40))
    assert "No setting stands out from chance" in page
    assert "lr mattered" in section(Importance("lr", 1.0, True, 40))[0]


def test_nothing_is_said_of_too_few() -> None:
    assert section() == ("", [])
