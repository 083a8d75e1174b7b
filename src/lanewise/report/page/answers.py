"""The report of a comparison, an ablation or a sweep: one HTML file that needs nothing else, the answer first."""

import shlex
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from lanewise.base.files import write_whole
from lanewise.questions.ablation import Ablation
from lanewise.questions.side_by_side import SideBySide
from lanewise.questions.sweep import Sweep
from lanewise.recipe.file import dump
from lanewise.report.figures import answers as answer_figures
from lanewise.report.figures.plots import Figure
from lanewise.report.page import costs
from lanewise.report.page import render as layout
from lanewise.report.page.commands import import_options, task_options
from lanewise.report.page.parts import Cell, Code, Drawing, Heading, Opening, Page, Part, Quiet, Section, Table, section
from lanewise.report.page.sections import recipe_in_full, simple_models_beside
from lanewise.report.words import counted, lead_unit, score_words, time_words
from lanewise.statistics.intervals import Interval
from lanewise.verdict import answer_sentences
from lanewise.verdict.ablation import AblationAnswer
from lanewise.verdict.answer import Answer, ComparedRecipe, Setup
from lanewise.verdict.comparison import ComparisonAnswer
from lanewise.verdict.phrases import TOO_CLOSE, lead_words, means_words, metric_words
from lanewise.verdict.recipe_words import TIMES, short
from lanewise.verdict.sweep import SweepAnswer
from lanewise.verdict.techniques import Tried

WORDS = {"compare": "compared", "ablate": "ablated", "sweep": "swept"}


def write(run: SideBySide, path: Path) -> None:
    """Write the report of a finished run to `path`, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    write_whole(path, render(run))


def render(run: SideBySide) -> str:
    """The report as the text of one HTML page."""
    answer, setup = run.answer, run.answer.setup
    page = Page(f"{answer.headline} · {setup.model} on {setup.data}", opening(answer))
    if isinstance(answer, ComparisonAnswer):
        page.add([comparison(answer, page.drawn)])
    elif isinstance(answer, AblationAnswer):
        page.add(ablation(answer, page.drawn))
    else:
        assert isinstance(answer, SweepAnswer)
        page.add([swept(answer, page.drawn)])
    title = "The recipe that was ablated" if isinstance(answer, AblationAnswer) else "The best recipe"
    page.add([
        simple_models(answer),
        recipe_in_full(title, answer.best, run.task),
        other_recipes(answer) if isinstance(answer, ComparisonAnswer) else None,
        costs.costs_of(run.engine, run.model_description, setup.seconds, setup.lane_steps, setup.engine),
        again(run),
    ])  # fmt: skip
    return layout.render(page)


def opening(answer: Answer) -> Opening:
    """The answer in words, then in numbers."""
    setup = answer.setup
    steps = counted(setup.lane_steps, "training step")
    facts = [*_facts(answer), (time_words(setup.seconds["total"]), f"for {steps} over all lanes")]
    told = f"{setup.model} on {setup.data} · {WORDS[answer.asked]} by Lanewise"
    headline, *words = answer.sentences()
    return Opening(told, headline, " ".join(words), facts)


def _facts(answer: Answer) -> list[tuple[str, str]]:
    setup = answer.setup
    if isinstance(answer, AblationAnswer):
        helps = sum(worth.verdict == "helps" for worth in answer.worths if worth.factor is None)
        alone = sum(worth.factor is None for worth in answer.worths)
        facts = [(f"{helps} of {alone}", "techniques are proven to help, at the recipe's own learning rate")]
        score, what = answer.score, "of the whole recipe"
        if answer.interactions:
            clear = sum(one.difference.excludes_zero for one in answer.interactions)
            facts.append((f"{clear} of {len(answer.interactions)}", "pairs clearly depend on each other"))
    else:
        assert isinstance(answer, (ComparisonAnswer, SweepAnswer))
        facts = [(f"{len(answer.tied)} of {len(answer.compared) - 1}", "others are too close to the best to call")]
        score, what = answer.compared[0].score, "of the best"
        if isinstance(answer, SweepAnswer) and answer.within is not None:
            facts.append((answer.within, "the largest value within one standard error of the best"))
    mean, low, high = setup.kind.interval_words([score.mean, score.low, score.high])
    return [(mean, f"validation {metric_words(setup.metric)} {what}; 95% CI {low} to {high}"), *facts]


def simple_models(answer: Answer) -> Section | None:
    """The best recipe, or the one that was ablated, beside simple models."""
    setup = answer.setup
    if isinstance(answer, AblationAnswer):
        name, score = "the whole recipe", answer.score
    else:
        assert isinstance(answer, (ComparisonAnswer, SweepAnswer))
        name, score = "the best recipe", answer.compared[0].score
    return simple_models_beside(
        name, score.mean, setup.references, setup.reference_notes, setup.kind, setup.metric, "validation"
    )


def comparison(answer: ComparisonAnswer, drawn: list[Figure]) -> Section | None:
    """The recipes beside each other."""
    figure = answer_figures.lead_figure(answer)
    drawn.append(figure)
    rows = [(_row_class(one), _compared_cells(one, answer.setup)) for one in answer.compared]
    heads = _compared_heads("recipe", answer.setup)
    return section("How sure is it?", Drawing(figure), Table(heads, rows), intro=_on_what(answer))


def other_recipes(answer: ComparisonAnswer) -> Section | None:
    """Those that are not the best, each in full."""
    full: list[Part] = []
    for one in answer.compared[1:]:
        full += [Heading(one.scored.name), Code(dump(one.scored.recipe).rstrip())]
    return section("The other recipes", *full)


def swept(answer: SweepAnswer, drawn: list[Figure]) -> Section | None:
    """The score against the value, and the values beside each other."""
    figure = answer_figures.sweep_figure(answer)
    drawn.append(figure)
    rows = [(_row_class(one), _compared_cells(one, answer.setup)) for one in answer.in_order()]
    heads = _compared_heads(answer.field, answer.setup)
    rule = (
        "The one-standard-error rule: of the values whose mean score is within one standard error of the best, take "
        "the one that regularises most (Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, "
        "1984, section 3.4.3). It is a rule of thumb for those who prefer simpler models; the intervals above say what "
        "the data can show."
    )
    return section(
        f"{answer.field} against {metric_words(answer.setup.metric)}",
        Drawing(figure),
        Table(heads, rows),
        Quiet(rule) if answer.within is not None else None,
        intro=_on_what(answer),
    )


def ablation(answer: AblationAnswer, drawn: list[Figure]) -> list[Section | None]:
    """What each technique is worth, pairs, and the learning rates that were tried."""
    setup = answer.setup
    worths = answer_figures.contribution_figure(answer)
    drawn.append(worths)
    unit = lead_unit(setup.kind)
    heads = [("technique", False), (f"worth{unit}", True), ("95% CI", True), ("", False),
             (f"{metric_words(setup.metric)} without", True)]  # fmt: skip
    rows = [
        (
            "winner" if worth.verdict == "helps" else "finalist",
            [
                Cell(worth.name),
                *_interval_cells(worth.difference, setup),
                Cell(worth.verdict),
                Cell(score_words(worth.scored.scores, setup.kind)),
            ],
        )
        for worth in answer.worths
    ]
    parts = [
        section("What each technique is worth", Drawing(worths), Table(heads, rows), intro=_on_what(answer)),
    ]
    pairs = answer_figures.interaction_figure(answer)
    if pairs is not None:
        drawn.append(pairs)
        cells = [
            ("finalist", [Cell(f"{one.first} and {one.second}"), *_interval_cells(one.difference, setup),
                          Cell(one.verdict)])
            for one in answer.interactions
        ]  # fmt: skip
        heads = [("pair", False), (f"interaction{unit}", True), ("95% CI", True), ("", False)]
        intro = (
            "Removing two techniques together may cost more or less than removing each alone: the difference is their "
            "interaction. A run that diverged counts as the worst score, which makes interactions large."
        )
        parts.append(
            section("Which depend on each other", Drawing(pairs), Table(heads, cells, sortable=True), intro=intro)
        )
    if answer.tried:
        parts.append(_rates(answer))
    return parts


def _rates(answer: AblationAnswer) -> Section | None:
    setup = answer.setup

    def cells(tried: Tried) -> list[Cell]:
        words = [
            f"{TIMES}{factor:g}: {setup.kind.words(setup.kind.turned(score)) if isfinite(score) else 'diverged'}"
            for factor, score in zip(tried.factors, tried.scores, strict=True)
        ]
        return [Cell(tried.technique), Cell(f"{TIMES}{tried.best:g}"), Cell(" · ".join(words), wrap=True)]

    heads = [("without", False), ("best learning rate", True), ("tried", False)]
    told = Quiet(" ".join(map(answer_sentences.on_tried, answer.tried)))
    intro = (
        "The recipe's learning rate was chosen with all of its techniques in place. Where a technique that affects the "
        "best learning rate is removed, multiples of it were tried in other repeats; the best was then trained in the "
        "repeats above."
    )
    return section(
        "Learning rates without them", Table(heads, [("", cells(one)) for one in answer.tried]), told, intro=intro
    )


def _compared_heads(first: str, setup: Setup) -> list[tuple[str, bool]]:
    return [
        (first, False),
        (f"validation {metric_words(setup.metric)}", True),
        ("95% CI", True),
        (f"best's lead{lead_unit(setup.kind)}", True),
        ("95% CI, all at once", True),
        ("", False),
    ]


def _compared_cells(one: ComparedRecipe, setup: Setup) -> list[Cell]:
    kind = setup.kind
    _, low, high = kind.interval_words([one.score.mean, one.score.low, one.score.high], 2)
    lead = [Cell(""), Cell("")] if one.difference is None else _interval_cells(one.difference, setup)
    verdict = "best" if one.difference is None else "worse" if one.significant else TOO_CLOSE
    return [
        Cell(one.scored.name),
        Cell(score_words(one.scored.scores, kind, one.score.mean)),
        Cell(f"{low} to {high}"),
        *lead,
        Cell(verdict),
    ]


def _interval_cells(interval: Interval, setup: Setup) -> list[Cell]:
    mean, low, high = lead_words(interval, setup.kind)
    return [Cell(mean, interval.mean), Cell(f"{low} to {high}")]


def _row_class(one: ComparedRecipe) -> str:
    return "winner" if one.difference is None else "finalist"


def _on_what(answer: Answer) -> str:
    setup = answer.setup
    train, valid = setup.rows
    how = f"in {counted(setup.repeats, 'repeat')}"
    if setup.folds:
        how = f"on {setup.folds} folds" + (
            f", drawn {setup.repeats // setup.folds} times" * (setup.repeats > setup.folds)
        )
    return (
        f"Every recipe was trained to the end {how}, on {train:,} examples, and scored on {valid:,} others. Each "
        "repeat is one split, one set of initial weights and one order of examples, shared by all recipes. No race "
        "with this seed uses these repeats, and no test example is used."
    ) + f" {means_words(setup.repeats, setup.kind, worths=isinstance(answer, AblationAnswer))}"


def again(run: SideBySide) -> Section | None:
    """The command that asks the same again."""
    fixed = f"Seed {run.settings.seed} fixes every split, initial weight, order and mask."
    words = command(run)
    if words is None:
        return section(
            "Run it again", Quiet(f"Give the same recipes to lanewise {run.question.asked}, on the same data. {fixed}")
        )
    return section("Run it again", Code(shlex.join(words)), Quiet(fixed))


def command(run: SideBySide) -> Sequence[str] | None:
    """Asks the same again of the recipe on record; None where files or Python code are needed that no record has."""
    question, options = run.question, task_options(run.task)
    if run.folder is None or options is None or not isinstance(question, (Ablation, Sweep)):
        return None
    imports = import_options(str(question.base), metric=run.task.objective.metric.name)
    words = ["lanewise", question.asked, str(run.folder.best), *imports]
    if isinstance(question, Sweep):
        words += ["--field", question.field, "--values", ",".join(entry.name for entry in question.entries)]
    elif not question.pairs:
        words.append("--no-pairs")
    words += [*options, "--repeats", short(len(run.repeats)), "--seed", str(run.settings.seed)]
    return words if str(run.engine.device) == "cpu" else [*words, "--device", str(run.engine.device)]
