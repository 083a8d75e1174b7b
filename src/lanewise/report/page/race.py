"""The report: one HTML file that needs nothing else, the verdict first."""

import json
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from lanewise.base.files import write_whole
from lanewise.report.escape import escape
from lanewise.report.figures.outcome import outcomes
from lanewise.report.figures.plots import Figure
from lanewise.report.page import costs, importance, sections
from lanewise.study.race import Study


def write(study: Study, path: Path) -> None:
    """Write the report of a finished study to `path`, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    write_whole(path, render(study))


def render(study: Study) -> str:
    """The report of a finished study as the text of one HTML page; 5 MB, because Plotly is in it."""
    found = outcomes(study)
    drawn: list[Figure] = []
    body = [
        sections.opening(study),
        sections.winner(study),
        sections.sureness(study, drawn),
        sections.simple_models(study),
        sections.of_classes(study),
        sections.course(study, found, drawn),
        sections.timed_numbers(study, drawn),
        sections.leaderboard(study, found),
        importance.what_mattered(study, drawn),
        sections.settings(study, found, drawn),
        costs.costs(study),
        costs.reproduce(study),
        f'<footer class="quiet">Written by Lanewise on {datetime.now():%d %B %Y at %H:%M}.</footer>',
    ]
    title = f"{sections.headline(study.verdict)} · {study.model_name} on {study.data_name}"
    return page(title, body, drawn)


def page(title: str, body: Sequence[str], drawn: Sequence[Figure]) -> str:
    """A whole HTML page of the parts `body`, in which the figures `drawn` have their places."""
    folder = files("lanewise.report.page")
    return Template(folder.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        css=folder.joinpath("page.css").read_text(encoding="utf-8"),
        body="\n".join(part for part in body if part),
        figures=script_json({figure.name: figure.variants for figure in drawn}),
        plotly=get_plotlyjs(),
        script=folder.joinpath("page.js").read_text(encoding="utf-8"),
    )


def script_json(data: Any) -> str:
    """`data` as JSON that can stand inside a script element: nothing in it can end the element or begin another."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
