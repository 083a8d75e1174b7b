"""Whole races by metrics that are no fractions: what is found, recorded, reported and shown."""

import copy
import io
import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plotly.offline import get_plotlyjs
from rich.console import Console
from torch import Tensor, nn
from typer.testing import CliRunner

import lanewise as lw
from lanewise.cli import app
from lanewise.parts.schedules import Plateau
from lanewise.recipe.file import save
from lanewise.record import traces
from lanewise.record.folder import RunFolder
from lanewise.report.figures.outcome import outcomes
from lanewise.report.terminal import race as terminal
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.progress import Progress
from lanewise.task.task import Task
from lanewise.train import train
from lanewise.verdict.phrases import chance_words
from lanewise.verdict.verdict import Verdict
from tests.record.records import eager_plans
from tests.report.studies import Recorder
from tests.report.test_html import Page

SPACE = lw.Recipe(optimizer=lw.SGD(lr=lw.log(1e-4, 0.3), momentum=lw.uniform(0.0, 0.9)), batch_size=16, epochs=4)
SETTINGS: dict[str, Any] = {
    "candidates": 6, "repeats": 2, "generations": 2, "finalists": 3, "confirm": 3, "seed": 2, "threads": 1,
}  # fmt: skip


def rows() -> tuple[Tensor, Tensor]:
    """150 rows whose target is a sum of three of five inputs, and noise."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(150, 5, generator=generator)
    return x, x[:, :3].sum(1) + 0.3 * torch.randn(150, generator=generator)


def network() -> nn.Module:
    """A small perceptron with one output."""
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))


def gaussian(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """A density's negative logarithm, which falls below -1, and the root of a batch's mean squared error."""
    inputs, targets = batch
    errors = (model(inputs).squeeze(-1) - targets).square().mean()
    return 2 * errors - 4, {"RMSE": errors.sqrt()}


TASKS: dict[str, tuple[Callable[[], Task], ScoreKind]] = {
    "R2": (lambda: Task(network, rows()), ScoreKind(True, False)),
    "absolute error": (lambda: Task(network, rows(), metric="absolute error"), ScoreKind(False, False)),
    "RMSE": (
        lambda: Task(network, rows(), objective=gaussian, metric="RMSE", greater_is_better=False),
        ScoreKind(False, False),
    ),
}


class Found:
    """A race by one of the metrics above, with its folder and its page."""

    def __init__(self, metric: str, parent: Path) -> None:
        make, self.kind = TASKS[metric]
        self.metric, self.recorder = metric, Recorder()
        engine = parent / "given.json"
        engine.write_text(json.dumps({key: plan.to_dict() for key, plan in eager_plans(SPACE).items()}))
        self.folder = RunFolder(parent / "run")
        self.race = lw.race(make(), SPACE, out=self.folder.path, engine=engine, observer=self.recorder, **SETTINGS)
        self.verdict = self.race.verdict
        text = self.folder.report.read_text(encoding="utf-8")
        self.page = Page(text.replace(get_plotlyjs(), "plotly()"))

    def own(self, score: float) -> float:
        """A score of the study in the metric's own direction."""
        return score if self.kind.greater_is_better else -score


@pytest.fixture(scope="module", params=list(TASKS))
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    return Found(request.param, tmp_path_factory.mktemp("race"))


def test_the_best_score_wins(found: Found) -> None:
    means = [one.scores.mean() for one in found.verdict.finalists]
    assert means == sorted(means, reverse=found.kind.greater_is_better)
    assert len(means) > 1
    assert all(one.difference.mean >= 0 for one in found.verdict.finalists if one.difference)
    # A recipe that learns explains most of the targets, whose variance is 1.
    assert found.verdict.test.mean > 0.7 if found.kind.greater_is_better else 0 < found.verdict.test.mean < 0.5


def test_the_record_is_in_the_metrics_own_direction(found: Found) -> None:
    data = json.loads(found.folder.verdict.read_text(), parse_constant=pytest.fail)
    assert (data["metric"], data["greater_is_better"], data["fraction"]) == (
        found.metric, found.kind.greater_is_better, False,
    )  # fmt: skip
    assert data["test"]["low"] <= data["test"]["mean"] <= data["test"]["high"]
    again = Verdict.from_dict(data, "verdict.json")
    assert again.sentences() == found.verdict.sentences()
    last = {c.number: found.own(c.score) for c in found.race.study.candidates if c.scored}
    raced = [row for row in traces.read(found.folder.traces).to_pylist() if row["phase"] == "race"]
    told = {row["candidate"]: row["score"] for row in traces.read(found.folder.candidates).to_pylist()}
    for number, score in last.items():
        own = [row for row in raced if row["candidate"] == number]
        end = max(row["progress"] for row in own)
        assert np.mean([row["metric"] for row in own if row["progress"] == end]) == pytest.approx(score)
        assert told[number] == pytest.approx(score)


def test_the_metric_is_what_plain_pytorch_makes_of_the_recipe(found: Found) -> None:
    at_first = found.race.study.settings.repeats
    alone = train(found.race.study.task, found.verdict.winner, seed=SETTINGS["seed"], repeat=at_first)
    assert alone.validation is not None
    assert alone.validation[1] == pytest.approx(found.verdict.finalists[0].scores[0], rel=1e-4)


def test_nothing_is_told_in_percent(found: Found) -> None:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    terminal.print_verdict(found.verdict, console)
    assert isinstance(console.file, io.StringIO)
    shown, words = " ".join(console.file.getvalue().split()), found.page.words
    assert f"{found.kind.words(found.verdict.test.mean)} test {found.metric}" in shown
    assert ("lower is better" in shown) != found.kind.greater_is_better
    sentences = " ".join(found.verdict.sentences())
    chances = {chance_words(one.chance) for one in found.verdict.finalists}
    for text in (sentences, shown):
        for told in ("95% CI", "below 95%", *chances):
            text = text.replace(told, "")
        # How much a few test rows decide.
        text = re.sub(r"\d+%\s+of\s+all", "", text)
        assert "%" not in text
        assert "point" not in text
    assert "percentage points" not in words
    assert "winner's lead, points" not in words
    assert " ".join(found.verdict.sentences()[1:]) in words
    assert f"lead over the runner-up on test, in {found.metric}" in words
    assert not re.search(r"\bnan\b", words)


def test_who_watches_sees_the_best_first(found: Found) -> None:
    told = [one for one in found.recorder.told if isinstance(one, Progress) and len(one.standings) > 1]
    assert told
    for progress in told:
        assert (progress.metric, progress.kind) == (found.metric, found.kind)
        live = [one.score for one in progress.standings if one.live]
        assert live == sorted(live, reverse=found.kind.greater_is_better)
    first = told[-1].standings[0]
    console = Console(file=io.StringIO(), width=160, highlight=False)
    terminal.PlainDisplay(console).show(told[-1])
    assert isinstance(console.file, io.StringIO)
    assert (
        f"leading: candidate {first.candidate} ({found.metric} {found.kind.words(first.score)}, loss"
        in console.file.getvalue()
    )
    table = terminal.leaders(told[-1].standings, found.metric, 120, found.kind)
    assert next(iter(table.columns[1].cells)) == found.kind.words(first.score)


def test_curves_and_lead_are_drawn_in_the_metrics_own_direction(found: Found) -> None:
    figure = found.page.figures["curves"]["1-1"]
    winner = found.verdict.finalists[0]
    line = next(t for t in figure["data"] if t.get("meta") == winner.candidate and t["mode"] == "lines+markers")
    assert line["y"][-1] == pytest.approx(winner.scores.mean(), rel=1e-4)
    assert "%{y:.4g}" in line["hovertemplate"]
    axis = figure["layout"]["yaxis"]
    assert axis.get("tickformat") is None
    low, high = axis["range"]
    seen = math.log10(line["y"][-1]) if axis.get("type") == "log" else line["y"][-1]
    assert low < seen < high
    assert (axis.get("type") == "log") != found.kind.greater_is_better
    lead = found.page.figures["differences"][""]
    assert lead["layout"]["xaxis"]["title"]["text"] == f"winner's lead in {found.metric}"
    other = found.verdict.finalists[1]
    assert other.difference is not None
    assert lead["data"][0]["x"] == pytest.approx([found.own(d) for d in winner.scores - other.scores], rel=1e-4)
    assert lead["data"][2]["x"] == pytest.approx([other.difference.mean], rel=1e-4)


def test_a_loss_below_zero_is_not_drawn_on_a_logarithmic_axis(found: Found) -> None:
    view = found.page.figures["curves"]["0-0"]["layout"]
    below = found.metric == "RMSE"
    assert min(c.loss for c in found.race.study.candidates) < -1 or not below
    assert (view["yaxis"].get("type") == "log") != below
    assert view["annotations"][0]["text"] == ("validation loss" if below else "validation loss, logarithmic")


def test_the_leaderboard_ranks_those_that_finished_by_their_score(found: Found) -> None:
    study = copy.copy(found.race.study)
    # A loss that says the opposite must not count.
    study.candidates = [replace(candidate, loss=candidate.score) for candidate in study.candidates]
    ranked = outcomes(study)
    pairs = [pair for pair in itertools.pairwise(ranked) if pair[0].words == pair[1].words != "finalist"]
    assert pairs
    assert all(one.candidate.score > other.candidate.score for one, other in pairs)
    for outcome in ranked:
        words = found.kind.words(found.own(outcome.candidate.score), 2)
        assert words in found.page.words
        assert words.startswith("-") or f"-{words}" not in found.page.words


def test_a_plateau_watches_the_same_score_alone_as_in_its_lane(tmp_path: Path) -> None:
    plateau = Plateau(patience=0, beta=0.1, maximize=True)
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.choice(0.02, 0.05) * plateau), batch_size=16, epochs=8)
    task = TASKS["absolute error"][0]()
    engine = tmp_path / "given.json"
    engine.write_text(json.dumps({key: plan.to_dict() for key, plan in eager_plans(space).items()}))
    settings = SETTINGS | {"candidates": 2, "generations": 1, "finalists": 2, "confirm": 2}
    race = lw.race(task, space, engine=engine, **settings)
    alone = train(task, race.winner, seed=SETTINGS["seed"], repeat=2)
    assert alone.validation is not None
    assert alone.validation[1] == pytest.approx(race.verdict.finalists[0].scores[0], rel=1e-4)


def test_train_prints_a_plain_number(tmp_path: Path) -> None:
    x, y = rows()
    np.savez(tmp_path / "numbers.npz", x=x.numpy(), y=y.numpy())
    save(lw.Recipe(optimizer=lw.SGD(lr=0.05), batch_size=16, epochs=2), tmp_path / "recipe.yaml")
    words = ["train", str(tmp_path / "recipe.yaml"), "--data", str(tmp_path / "numbers.npz"), "--model", "mlp:4"]
    printed = CliRunner().invoke(app, words)
    score = re.search(r"^test R2: (-?\d\.\d+) \(loss \d\.\d{4}\)$", printed.stdout, re.MULTILINE)
    assert score, printed.output
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (data["metric"], data["greater_is_better"]) == ("R2", True)
    assert f"{data['test']['R2']:.4g}" == f"{float(score[1]):.4g}"
