"""The report of a race: one HTML file that needs nothing else, the verdict first."""

from pathlib import Path

from lanewise.base.files import write_whole
from lanewise.report.figures.outcome import outcomes
from lanewise.report.page import costs, importance, sections
from lanewise.report.page import render as layout
from lanewise.report.page.parts import Page
from lanewise.study.race import Study


def write(study: Study, path: Path) -> None:
    """Write the report of a finished study to `path`, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    write_whole(path, render(study))


def render(study: Study) -> str:
    """The report of a finished study as the text of one HTML page."""
    found = outcomes(study)
    page = Page(
        f"{study.verdict.headline} · {study.model_name} on {study.data_name}", sections.opening(study)
    )  # fmt: skip
    page.add([
        sections.winner(study),
        sections.sureness(study, page.drawn),
        sections.simple_models(study),
        sections.of_classes(study),
        sections.course(study, found, page.drawn),
        sections.timed_numbers(study, page.drawn),
        sections.leaderboard(study, found),
        importance.what_mattered(study, page.drawn),
        sections.settings(study, found, page.drawn),
        costs.costs(study),
        costs.reproduce(study),
    ])  # fmt: skip
    return layout.render(page)
