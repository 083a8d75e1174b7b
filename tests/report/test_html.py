import copy
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly import graph_objects
from plotly.offline import get_plotlyjs

from lanewise.api.race import Race
from lanewise.errors import InputError
from lanewise.recipe.file import dump
from lanewise.recipe.spaces import classic
from lanewise.record.candidate import Candidate
from lanewise.record.folder import RunFolder
from lanewise.report.figures.curves import curve
from lanewise.report.figures.outcome import outcomes
from lanewise.report.page import race as html
from lanewise.report.page.commands import race_command, train_command
from lanewise.report.page.render import script_json
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings
from lanewise.task.task import Task
from tests.report.studies import finished, model, source

NASTY = '</script><script>alert(1)</script><!-- <b>&amp; "it\'s" --> $css'
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page; counts what the tests ask about and sees that elements close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words += data

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """What is handed to Plotly."""
        found: dict[str, dict[str, Any]] = json.loads(self.scripts[0])
        return found


def read(study: Study) -> Page:
    """The page of a study, without Plotly's own code, which takes long to read."""
    return Page(html.render(study).replace(get_plotlyjs(), "plotly()"))


@pytest.fixture(scope="module")
def page(study: Study) -> Page:
    return read(study)


def test_verdict_comes_first_and_the_recipe_can_be_copied(page: Page, study: Study) -> None:
    order = [page.words.index(words) for words in (study.verdict.headline, "The winner's recipe", "All candidates")]
    assert order == sorted(order)
    assert " ".join(study.verdict.sentences()[1:]) in page.words
    assert dump(study.verdict.winner) in page.words


def test_page_loads_nothing(page: Page) -> None:
    for tag, attributes in page.seen:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert not {"src", "href", "srcset", "action"} & set(attributes)
    styles = Path(html.__file__).with_name("page.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?:", styles)
    policy = next(a["content"] for tag, a in page.seen if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_page_carries_plotly_once_and_stays_small(study: Study) -> None:
    text = html.render(study)
    assert text.count(get_plotlyjs()) == 1
    assert len(text.encode()) < 6_000_000


def test_every_figure_is_one_that_plotly_accepts(page: Page, study: Study, diverged: Study) -> None:
    for one in (page, read(diverged)):
        names = [attributes["id"] for _, attributes in one.seen if attributes.get("class") == "plot"]
        assert sorted(one.figures) == sorted(name for name in names if name)
        for variants in one.figures.values():
            for variant in variants.values():
                # The page puts colours in the place of its variables.
                painted = json.loads(re.sub(r'"--\w+(@[\d.]+)?"', '"#123456"', json.dumps(variant)))
                graph_objects.Figure(painted)


def test_every_combination_of_switches_has_its_variant(page: Page) -> None:
    assert set(page.figures["curves"]) == {f"{measure}-{phase}" for measure in range(3) for phase in range(2)}
    assert set(page.figures["schedules"]) == {f"{number}-{scale}" for number in range(2) for scale in range(2)}


def test_all_candidates_are_in_the_leaderboard(page: Page, study: Study) -> None:
    begins = next(at for at, (tag, attributes) in enumerate(page.seen) if attributes.get("id") == "candidates")
    rows = [attributes.get("class") for tag, attributes in page.seen[begins:] if tag == "tr"]
    found = outcomes(study)
    # The first row holds the heads; the tables after this one have rows of other kinds.
    assert rows[1 : len(found) + 1] == [outcome.state for outcome in found]


def test_names_of_the_user_stay_text() -> None:
    study = finished(name=NASTY, candidates=2, generations=1)
    study.task.model_name = NASTY
    study.model_description = NASTY
    study.verdict = replace(study.verdict, metric=NASTY)
    for plan in study.verdict.engine.values():
        plan["why"] = NASTY
    found = read(study)
    text = html.render(study)
    assert "alert(1)</script>" not in text
    assert "<script>alert" not in text
    assert "$css" in found.words
    assert found.words.count(NASTY) > 4
    titles = json.dumps(found.figures)
    assert "alert(1)" in titles
    assert "<script>" not in titles
    assert "<b>&amp;" not in titles


def test_data_in_a_script_cannot_end_it() -> None:
    text = script_json({"text": NASTY})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"text": NASTY}


def test_diverged_candidates_and_a_single_finalist(diverged: Study) -> None:
    found = read(diverged)
    assert "diverged at step" in found.words
    assert "It is the only finalist" in found.words
    assert diverged.verdict.difference is None
    assert found.words.count("nothing to compare") == 2
    assert "lead over the runner-up" not in found.words
    assert "differences" not in found.figures
    assert "NaN" not in html.render(diverged).replace(get_plotlyjs(), "")
    assert not re.search(r"\bnan\b", found.words)


def test_a_race_in_which_nobody_leaves_draws_no_leaving() -> None:
    study = finished(candidates=2, generations=1, pruner="none")
    found = read(study)
    assert "race" not in found.figures
    assert "None was stopped." in found.words
    command = race_command(study)
    assert command is None


def test_a_finalist_that_diverged_in_the_confirmation(study: Study) -> None:
    changed = copy.copy(study)
    winner, other, *rest = study.verdict.finalists
    lost = replace(other, scores=np.where(np.arange(len(other.scores)) == 0, np.nan, other.scores))
    changed.verdict = replace(study.verdict, finalists=(winner, lost, *rest))
    assert "1 of 2 diverged" in read(changed).words


def test_curves_end_where_a_repeat_diverged() -> None:
    candidate = Candidate(0, classic(), 0)
    candidate.curves = {
        0: [(0.5, 2.0, 1.0, 0.4), (1.0, 1.0, 0.8, 0.6)],
        1: [(0.5, 2.0, 3.0, 0.6), (1.0, np.nan, np.nan, np.nan)],
    }
    found = curve(candidate, 2)
    assert found.progress.tolist() == [0.5]
    assert (found.mean.tolist(), found.low.tolist(), found.high.tolist()) == ([2.0], [1.0], [3.0])
    assert len(curve(Candidate(1, classic(), 0), 2).mean) == 0


def test_commands_name_what_the_command_line_can_name(study: Study) -> None:
    assert train_command(Task("mlp", "digits")) == "lanewise train best.yaml"
    assert (
        train_command(Task(model, source("my data.npz")))
        == "lanewise train best.yaml --data 'my data.npz' --model MODEL"
    )
    assert race_command(study) is None
    named = copy.copy(study)
    named.task, named.space = Task("mlp:8", "digits"), replace(classic(), epochs=3)
    named.settings = RaceSettings(candidates=8, repeats=2, pruner="none", seed=5)
    assert race_command(named) == (
        "lanewise race --data digits --model mlp:8 --space classic --epochs 3 "
        "--candidates 8 --repeats 2 --pruner none --seed 5"
    )


def test_write_is_whole_or_not_at_all(study: Study, tmp_path: Path) -> None:
    html.write(study, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").endswith("</html>\n")
    with pytest.raises(InputError, match="cannot be written"):
        html.write(study, tmp_path / "missing" / "report.html")


def test_recorded_race_can_be_run_again_to_the_bit(study: Study, tmp_path: Path) -> None:
    recorded = copy.copy(study)
    recorded.task, recorded.space = Task("mlp:8", "digits"), classic()
    recorded.folder = RunFolder(tmp_path / "a run")
    engine = shlex.quote(str(tmp_path / "a run" / "engine.json"))
    assert f"{race_command(recorded)} --engine {engine}" in read(recorded).words


def test_a_report_is_no_folder(study: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; must be a file$"):
        Race(study).report(tmp_path)


def test_the_curves_title_names_the_confirmation(study: Study) -> None:
    assert "In the confirmation the finalists end at a validation loss" in html.render(study)
