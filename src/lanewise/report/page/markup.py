"""The pieces of HTML that the report is built of. Text is escaped here; what is already markup is called so."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lanewise.report.escape import escape
from lanewise.report.figures.plots import Figure, colour, dash
from lanewise.verdict.verdict import Verdict


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        key: what the column is sorted by where the text would not do. wrap: whether the text may be broken into lines,
            between its phrases. dot: a colour in front of it.
    """

    text: str
    key: float | str | None = None
    wrap: bool = False
    dot: str = ""


def section(title: str, *markup: str, intro: str = "") -> str:
    """A part of the page under a heading, with a sentence of introduction; empty if there is nothing in it."""
    inner = "\n".join(part for part in markup if part)
    if not inner:
        return ""
    first = f"<p>{escape(intro)}</p>\n" if intro else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{first}{inner}\n</section>"


def quiet(text: str) -> str:
    """A paragraph of small print."""
    return f'<p class="quiet">{escape(text)}</p>'


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """Figures that are read at a glance, each with what it means."""
    inner = "".join(f'<div class="tile"><b>{escape(big)}</b><span>{escape(what)}</span></div>' for big, what in facts)
    return f'<div class="tiles">{inner}</div>'


def chips(phrases: Iterable[str]) -> str:
    """Short phrases side by side."""
    return f'<ul class="chips">{"".join(f"<li>{escape(phrase)}</li>" for phrase in phrases)}</ul>'


def code_block(text: str) -> str:
    """Text to be copied as it stands; lines break between options of a command, not after their hyphens."""
    whole = re.sub(r"(?<!\S)--\S+", r'<span class="option">\g<0></span>', escape(text))
    return f'<div class="code"><button class="copy" type="button">Copy</button><pre>{whole}</pre></div>'


def definitions(facts: Iterable[tuple[str, str]]) -> str:
    """Facts with their names."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>' for name, fact in facts)}</dl>"


def table(
    heads: Sequence[tuple[str, bool]],
    rows: Iterable[tuple[str, Sequence[Cell]]],
    *,
    name: str = "",
    sortable: bool = False,
) -> str:
    """A table in a box that scrolls sideways where the page is too narrow.

    Args:
        heads: of each column its name, and whether it holds numbers. rows: each with its class and its cells.
        name: the id that a button can control it by. sortable: whether a click on a head sorts by it.
    """
    top = "".join(f'<th scope="col"{_class(numeric and "n")}>{_head(text, sortable)}</th>' for text, numeric in heads)
    body = "".join(
        f"<tr{_class(kind)}>{''.join(map(_cell, cells, (numeric for _, numeric in heads)))}</tr>\n"
        for kind, cells in rows
    )
    identity = f' id="{escape(name)}"' if name else ""
    return (
        f'<div class="scroll"><table{identity}{_class(sortable and "sortable")}><thead><tr>{top}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _class(name: str | bool) -> str:
    return f' class="{escape(str(name))}"' if name else ""


def _head(text: str, sortable: bool) -> str:
    return f'<button type="button">{escape(text)}</button>' if sortable else escape(text)


def _cell(cell: Cell, numeric: bool) -> str:
    key = "" if cell.key is None else f' data-key="{escape(str(cell.key))}"'
    dot = f'<i class="dot" style="--dot:var({cell.dot})"></i>' if cell.dot else ""
    phrases = cell.text.split(" · ") if cell.wrap else [cell.text]
    pieces = [f"{escape(phrase)}{' ·' if phrase is not phrases[-1] else ''}" for phrase in phrases]
    text = " ".join(f"<span>{piece}</span>" for piece in pieces) if cell.wrap else pieces[0]
    return f"<td{_class('wrap' if cell.wrap else numeric and 'n')}{key}>{dot}{text}</td>"


def more_button(controls: str, count: int, things: str) -> str:
    """A button that shows the rest of a table; without scripts there is no rest, and no button."""
    text = escape(f"Show all {count:,} {things}")
    return f'<button class="more" type="button" hidden aria-controls="{escape(controls)}">{text}</button>'


def figure_block(figure: Figure, legend_markup: str = "", *, heading: str = "h3") -> str:
    """A figure: what one sees, switches and legend, the drawing, and how to read it."""
    # A group of one has nothing to switch, but its choice is still part of every variant's name.
    switches = "".join(
        f'<div class="toggle" role="group"{" hidden" if len(group) < 2 else ""}>'
        f"{''.join(_switch(text, at == 0) for at, text in enumerate(group))}</div>"
        for group in figure.toggles
    )
    bar = f'<div class="bar">{switches}{legend_markup}</div>' if switches or legend_markup else ""
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
    return (
        f"<figure{_class(figure.wide and 'wide')}><{heading}>{escape(figure.title)}</{heading}>{bar}"
        f'<div class="plot" id="{escape(figure.name)}" role="img" aria-label="{escape(figure.title)}" '
        f'style="min-height:{figure.height}px"></div>{caption}</figure>'
    )


def _switch(text: str, pressed: bool) -> str:
    return f'<button type="button" aria-pressed="{str(pressed).lower()}">{escape(text)}</button>'


def legend(verdict: Verdict) -> str:
    """The finalists with their colours; pointing at one lets the others fade."""
    strokes = {"solid": "solid", "dash": "dashed", "dot": "dotted"}
    items = [
        f'<li><button type="button" data-candidate="{finalist.candidate}" '
        f'style="--dot:var({colour(place)});--dash:{strokes[dash(place)]}">'
        f"<i></i>{finalist.candidate}{' winner' if place == 0 else ''}</button></li>"
        for place, finalist in enumerate(verdict.finalists)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'
