"""The parts that a page is built of, as data: `templates/parts.html` has a macro for each kind, which lays it out.

All text is plain here; Jinja escapes it where it is put into the page.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from lanewise.report.figures.plots import Figure, colour, dash
from lanewise.verdict.findings import Findings

STROKES = {"solid": "solid", "dash": "dashed", "dot": "dotted"}


class Part:
    """Something on the page; `kind` names its macro."""

    kind: ClassVar[str]


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

    @property
    def phrases(self) -> list[str]:
        """What lines may be broken between, each with the mark that ends it."""
        phrases = self.text.split(" · ")
        return [*(f"{phrase} ·" for phrase in phrases[:-1]), phrases[-1]]


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading, with a sentence of introduction."""

    title: str
    parts: tuple[Part, ...]
    intro: str = ""


def section(title: str, *parts: Part | None, intro: str = "") -> Section | None:
    """A section of what there is of `parts`; None where there is nothing."""
    found = tuple(part for part in parts if part is not None)
    return Section(title, found, intro) if found else None


@dataclass(frozen=True)
class Opening:
    """The top of the page: what was run, the headline, the sentences, and figures that are read at a glance."""

    eyebrow: str
    title: str
    words: str
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Quiet(Part):
    """A paragraph of small print."""

    kind: ClassVar[str] = "quiet"
    text: str


@dataclass(frozen=True)
class Heading(Part):
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str
    apart: bool = False


@dataclass(frozen=True)
class Chips(Part):
    """Short phrases side by side."""

    kind: ClassVar[str] = "chips"
    phrases: Sequence[str]


@dataclass(frozen=True)
class Code(Part):
    """Text to be copied as it stands; lines break between options of a command, not after their hyphens."""

    kind: ClassVar[str] = "code"
    text: str

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it is an option.

        >>> Code("train a.yaml --data digits").pieces
        [('train a.yaml ', False), ('--data', True), (' digits', False)]
        """
        found = re.split(r"((?<!\S)--\S+)", self.text)
        return [(piece, at % 2 == 1) for at, piece in enumerate(found) if piece]


@dataclass(frozen=True)
class Definitions(Part):
    """Facts with their names."""

    kind: ClassVar[str] = "definitions"
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table(Part):
    """A table in a box that scrolls sideways where the page is too narrow.

    Attributes:
        heads: of each column its name, and whether it holds numbers. rows: each with its class and its cells.
        name: the id that a button can control it by. sortable: whether a click on a head sorts by it.
    """

    kind: ClassVar[str] = "table"
    heads: Sequence[tuple[str, bool]]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    name: str = ""
    sortable: bool = False


@dataclass(frozen=True)
class More(Part):
    """A button that shows the rest of a table; without scripts there is no rest, and no button."""

    kind: ClassVar[str] = "more"
    controls: str
    text: str


def more_button(controls: str, count: int, things: str, short: int) -> More | None:
    """A button for a table of `count` rows, where that is more than are shown at first."""
    return More(controls, f"Show all {count:,} {things}") if count > short else None


@dataclass(frozen=True)
class Drawing(Part):
    """A figure: what one sees, switches and legend, the drawing, and how to read it."""

    kind: ClassVar[str] = "drawing"
    figure: Figure
    legend: Sequence["LegendEntry"] = ()


@dataclass(frozen=True)
class LegendEntry:
    """A finalist in a legend, with the colour and the stroke of its lines."""

    candidate: int
    colour: str
    stroke: str
    winner: bool


def legend(found: Findings) -> list[LegendEntry]:
    """The finalists with their colours; pointing at one lets the others fade."""
    return [
        LegendEntry(one.candidate, colour(place), STROKES[dash(place)], place == 0)
        for place, one in enumerate(found.finalists)
    ]


@dataclass(frozen=True)
class Grid(Part):
    """Small figures side by side."""

    kind: ClassVar[str] = "grid"
    drawings: Sequence[Drawing]


@dataclass(frozen=True)
class Split(Part):
    """The parts of a whole as one bar with a legend; `shares`: name with value, percentage and colour."""

    kind: ClassVar[str] = "split"
    shares: Sequence[tuple[str, float, str]]


@dataclass(frozen=True)
class Ways(Part):
    """Ways of training with what a step of a lane took in each: words, microseconds, percentage of the longest."""

    kind: ClassVar[str] = "ways"
    rows: Sequence[tuple[str, str, float, bool]]


@dataclass
class Page:
    """A whole page.

    Attributes:
        drawn: the figures that have places in it.
    """

    title: str
    opening: Opening
    sections: list[Section] = field(default_factory=list)
    drawn: list[Figure] = field(default_factory=list)

    def add(self, sections: Iterable[Section | None]) -> None:
        """Put what there is of `sections` at the end."""
        self.sections += [one for one in sections if one is not None]
