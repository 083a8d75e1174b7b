"""Whatever a text holds, it stays text on the page, and nothing in it acts on a browser."""

import re

import pytest
from markupsafe import escape

from lanewise.report.figures.plots import Figure
from lanewise.report.page import parts
from lanewise.report.page.render import render

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=y>{{ 7 * 7 }}{% raw %}&amp;"
UNSEEN = "a\x1b[31mb\x00c\u202ed\x85e"


def body(text: str) -> str:
    """The visible part of a page in which `text` stands wherever text can."""
    cell = parts.Cell(f"{text} · {text}", text, wrap=True)
    figure = Figure(text, text, text, 100, {}, ((text, text),))
    everything = parts.section(
        text, parts.Quiet(text), parts.Heading(text), parts.Chips([text]), parts.Code(f"{text} --{text}"),
        parts.Definitions([(text, text)]), parts.Table([(text, False)], [(text, [cell])], text, True),
        parts.More(text, text), parts.Drawing(figure, [parts.LegendEntry(1, "--c1", "solid", True)]),
        parts.Grid([parts.Drawing(figure)]), parts.Split([(text, 10.0, "--c1")]),
        parts.Ways([(text, text, 10.0, True)]), intro=text,
    )  # fmt: skip
    assert everything is not None
    page = parts.Page(text, parts.Opening(text, text, text, [(text, text)]), [everything])
    head, main = render(page).split("<main>")
    assert text not in head
    return main.partition("</main>")[0]


def test_markup_and_templates_in_a_text_are_shown_not_obeyed() -> None:
    found = body(NASTY)
    assert "<script" not in found
    assert "<img" not in found
    assert found.count(str(escape(NASTY))) >= 25
    assert "{{ 7 * 7 }}" in found


def test_characters_that_nobody_sees_are_spelled_out() -> None:
    found = body(UNSEEN)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", found)
    assert r"\x1b[31mb\x00c\u202ed\x85e" in found


def test_an_empty_section_is_none() -> None:
    assert parts.section("title", None, None, intro="words") is None


@pytest.mark.parametrize("count", [15, 16])
def test_a_button_for_the_rest_is_there_where_there_is_a_rest(count: int) -> None:
    button = parts.more_button("table", count, "classes", 15)
    assert button == (parts.More("table", "Show all 16 classes") if count == 16 else None)
