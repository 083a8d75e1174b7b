"""The report of a comparison, an ablation or a sweep: one HTML file that needs nothing else, the answer first."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from pathlib import Path

from lanewise.base.files import write_whole
from lanewise.questions.ablation import Ablation
from lanewise.questions.ablation_answer import AblationAnswer, Tried
from lanewise.questions.comparison import ComparedRecipe, ComparisonAnswer
from lanewise.questions.side_by_side import SideBySide
from lanewise.questions.sweep import Sweep, SweepAnswer
from lanewise.recipe.file import dump
from lanewise.report.escape import escape
from lanewise.report.figures import answers as answer_figures
from lanewise.report.figures.plots import Figure
from lanewise.report.page import costs
from lanewise.report.page.commands import task_options, train_command
from lanewise.report.page.markup import Cell, chips, code_block, figure_block, quiet, section, table, tiles
from lanewise.report.page.race import page
from lanewise.report.page.sections import simple_models_beside
from lanewise.report.words import TIMES, counted, describe, lead_unit, lead_words, score_words, short, time_words
from lanewise.statistics.intervals import Interval
from lanewise.task.task import Task
from lanewise.verdict.answer import Answer, Ground
from lanewise.verdict.phrases import TOO_CLOSE, means_words

WORDS = {"compare": "compared", "ablate": "taken apart", "sweep": "swept"}


def write(run: SideBySide, path: Path) -> None:
    """Write the report of a finished run to `path`, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    write_whole(path, render(run))


def render(run: SideBySide) -> str:
    """The report as the text of one HTML page."""
    answer, drawn, others = run.answer, list[Figure](), ""
    title = headline(answer)
    if isinstance(answer, ComparisonAnswer):
        body, others = comparison(answer, drawn), other_recipes(answer)
    elif isinstance(answer, AblationAnswer):
        body = ablation(answer, drawn)
    else:
        assert isinstance(answer, SweepAnswer)
        body = swept(answer, drawn)
    ground = answer.ground
    parts = [
        opening(answer, title),
        *body,
        simple_models(answer),
        best_recipe(answer, run.task),
        others,
        costs.costs_of(run.engine, run.model_description, ground.seconds, ground.lane_steps, ground.engine),
        again(run),
        f'<footer class="quiet">Written by Lanewise on {datetime.now():%d %B %Y at %H:%M}.</footer>',
    ]
    return page(f"{title} · {ground.model} on {ground.data}", parts, drawn)


def headline(answer: Answer) -> str:
    """The answer in one line."""
    if isinstance(answer, ComparisonAnswer):
        name, same = answer.compared[0].scored.name, len(answer.tied)
        return f"{name} is best" if not same else f"{name} is ahead; {_close(same, 'other')}"
    if isinstance(answer, AblationAnswer):
        helps = list(dict.fromkeys(worth.technique for worth in answer.worths if worth.verdict == "helps"))
        if not helps:
            return "No technique is proven to help"
        return f"Most is owed to: {', '.join(helps[:3])}" if len(helps) > 1 else f"What counts is: {helps[0]}"
    assert isinstance(answer, SweepAnswer)
    value, same = answer.compared[0].scored.name, len(answer.tied)
    return f"{answer.field} = {value} is best" + (f"; {_close(same, 'other value')}" if same else "")


def _close(same: int, other: str) -> str:
    return f"{counted(same, other)} {'is' if same == 1 else 'are'} too close to call"


def opening(answer: Answer, title: str) -> str:
    """The answer in words, then in numbers."""
    ground = answer.ground
    facts = [*_facts(answer), (time_words(ground.seconds["total"]), f"for {ground.lane_steps:,} steps of training")]
    told = f"{ground.model} on {ground.data} · {WORDS[answer.asked]} by Lanewise"
    words = " ".join(answer.sentences())
    return (
        f'<header><p class="eyebrow">{escape(told)}</p><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(words)}</p>{tiles(facts)}</header>'
    )


def _facts(answer: Answer) -> list[tuple[str, str]]:
    ground = answer.ground
    if isinstance(answer, AblationAnswer):
        helps = sum(worth.verdict == "helps" for worth in answer.worths if worth.factor is None)
        alone = sum(worth.factor is None for worth in answer.worths)
        facts = [(f"{helps} of {alone}", "techniques are proven to help, at the recipe's own learning rate")]
        score, what = answer.score, "of the whole recipe"
        if answer.interactions:
            apart = sum(one.difference.excludes_zero for one in answer.interactions)
            facts.append((f"{apart} of {len(answer.interactions)}", "pairs clearly depend on each other"))
    else:
        assert isinstance(answer, (ComparisonAnswer, SweepAnswer))
        same, others = len(answer.tied), len(answer.compared) - 1
        facts = [(f"{same} of {others}", "others are too close to the best to call")]
        score, what = answer.compared[0].score, "of the best"
        if isinstance(answer, SweepAnswer) and answer.within is not None:
            facts.append((answer.within, "the largest value within one standard error of the best"))
    mean, low, high = ground.kind.interval_words([score.mean, score.low, score.high])
    return [(mean, f"validation {ground.metric} {what}; 95% interval {low} to {high}"), *facts]


def comparison(answer: ComparisonAnswer, drawn: list[Figure]) -> list[str]:
    """The recipes beside each other."""
    figure = answer_figures.lead_figure(answer)
    drawn.append(figure)
    rows = [(_row_class(one), _compared_cells(one, answer.ground)) for one in answer.compared]
    heads = _compared_heads("recipe", answer.ground)
    return [section("How sure is it?", figure_block(figure), table(heads, rows), intro=_on_what(answer))]


def other_recipes(answer: ComparisonAnswer) -> str:
    """Those that are not the best, each in full."""
    full = [
        f"<h3>{escape(one.scored.name)}</h3>{code_block(dump(one.scored.recipe).rstrip())}"
        for one in answer.compared[1:]
    ]
    return section("The other recipes", *full)


def swept(answer: SweepAnswer, drawn: list[Figure]) -> list[str]:
    """The score against the value, and the values beside each other."""
    figure = answer_figures.sweep_figure(answer)
    drawn.append(figure)
    rows = [(_row_class(one), _compared_cells(one, answer.ground)) for one in answer.in_order()]
    heads = _compared_heads(answer.field, answer.ground)
    optimizer = (
        "The one-standard-error rule takes, of the values whose mean score is within one standard error of the best, "
        "the one that holds the model back most (Breiman, Friedman, Olshen and Stone, Classification and Regression "
        "Trees, 1984, section 3.4.3). It is a rule of thumb for models that are to be simple; the intervals above say "
        "what the data can tell."
    )
    return [
        section(
            f"{answer.field} against {answer.ground.metric}",
            figure_block(figure),
            table(heads, rows),
            quiet(optimizer) if answer.within is not None else "",
            intro=_on_what(answer),
        )
    ]


def ablation(answer: AblationAnswer, drawn: list[Figure]) -> list[str]:
    """What each technique is worth, pairs, and the rates that were tried."""
    ground = answer.ground
    worths = answer_figures.worth_figure(answer)
    drawn.append(worths)
    unit = lead_unit(ground.kind)
    heads = [("technique", False), (f"worth{unit}", True), ("95% interval", True), ("", False),
             (f"{ground.metric} without", True)]  # fmt: skip
    rows = [
        (
            "winner" if worth.verdict == "helps" else "finalist",
            [
                Cell(worth.name),
                *_interval_cells(worth.difference, ground),
                Cell(worth.verdict),
                Cell(score_words(worth.scored.scores, ground.kind)),
            ],
        )
        for worth in answer.worths
    ]
    parts = [
        section("What each technique is worth", figure_block(worths), table(heads, rows), intro=_on_what(answer)),
    ]
    pairs = answer_figures.interaction_figure(answer)
    if pairs is not None:
        drawn.append(pairs)
        cells = [
            ("finalist", [Cell(f"{one.first} and {one.second}"), *_interval_cells(one.difference, ground),
                          Cell(one.verdict)])
            for one in answer.interactions
        ]  # fmt: skip
        heads = [("pair", False), (f"interaction{unit}", True), ("95% interval", True), ("", False)]
        intro = (
            "Taken away together, two techniques may cost more or less than one after the other: that difference of "
            "differences is their interaction. A run that diverged counts as the worst score, which makes large ones."
        )
        parts.append(
            section("Which act together", figure_block(pairs), table(heads, cells, sortable=True), intro=intro)
        )
    if answer.tried:
        parts.append(_rates(answer))
    return parts


def _rates(answer: AblationAnswer) -> str:
    ground = answer.ground

    def cells(tried: Tried) -> list[Cell]:
        words = [
            f"{TIMES}{factor:g}: {ground.kind.words(ground.kind.turned(score)) if isfinite(score) else 'diverged'}"
            for factor, score in zip(tried.factors, tried.scores, strict=True)
        ]
        return [Cell(tried.technique), Cell(f"{TIMES}{tried.best:g}"), Cell(" · ".join(words), wrap=True)]

    heads = [("without", False), ("best rate", True), ("tried", False)]
    told = quiet(" ".join(map(answer.rate_sentence, answer.tried)))
    intro = (
        "The recipe's rate was chosen together with all of its techniques. Where one that has much to do with the rate "
        "is gone, multiples of it were tried, on repeats of their own; the best was then trained on the repeats above."
    )
    return section("Rates without them", table(heads, [("", cells(one)) for one in answer.tried]), told, intro=intro)


def _compared_heads(first: str, ground: Ground) -> list[tuple[str, bool]]:
    return [
        (first, False),
        (f"validation {ground.metric}", True),
        ("95% interval", True),
        (f"best's lead{lead_unit(ground.kind)}", True),
        ("95% interval, all at once", True),
        ("", False),
    ]


def _compared_cells(one: ComparedRecipe, ground: Ground) -> list[Cell]:
    kind = ground.kind
    _, low, high = kind.interval_words([one.score.mean, one.score.low, one.score.high], 2)
    lead = [Cell(""), Cell("")] if one.difference is None else _interval_cells(one.difference, ground)
    verdict = "best" if one.difference is None else "worse" if one.significant else TOO_CLOSE
    return [
        Cell(one.scored.name),
        Cell(score_words(one.scored.scores, kind, one.score.mean)),
        Cell(f"{low} to {high}"),
        *lead,
        Cell(verdict),
    ]


def _interval_cells(interval: Interval, ground: Ground) -> list[Cell]:
    mean, low, high = lead_words(interval, ground.kind)
    return [Cell(mean, interval.mean), Cell(f"{low} to {high}")]


def _row_class(one: ComparedRecipe) -> str:
    return "winner" if one.difference is None else "finalist"


def _on_what(answer: Answer) -> str:
    ground = answer.ground
    train, valid = ground.rows
    how = f"in {counted(ground.repeats, 'repeat')}"
    if ground.folds:
        how = f"on {ground.folds} folds" + (
            f", drawn {ground.repeats // ground.folds} times" * (ground.repeats > ground.folds)
        )
    return (
        f"Every recipe was trained to the end {how}, on {train:,} rows, and scored on {valid:,} others; each repeat is "
        "one split, one set of initial weights and one order, shared by all. No race with this seed uses these "
        "repeats, and no test row was touched."
    ) + f" {means_words(ground.repeats, ground.kind, worths=isinstance(answer, AblationAnswer))}"


def simple_models(answer: Answer) -> str:
    """The best recipe, or the one that was taken apart, beside simple models."""
    ground = answer.ground
    name = "the recipe" if isinstance(answer, AblationAnswer) else "the best recipe"
    if isinstance(answer, AblationAnswer):
        score = answer.score
    else:
        assert isinstance(answer, (ComparisonAnswer, SweepAnswer))
        score = answer.compared[0].score
    of = f"validation {ground.metric}", "validation examples"
    return simple_models_beside(name, score.mean, ground.references, ground.reference_notes, ground.kind, *of)


def best_recipe(answer: Answer, task: Task) -> str:
    """The recipe to go on with."""
    recipe = answer.best
    phrases = describe(recipe).split(" · ")
    length = [f"batch {recipe.batch_size}", counted(recipe.epochs, "epoch")]
    title = "The recipe that was taken apart" if isinstance(answer, AblationAnswer) else "The best recipe"
    return section(
        title,
        chips([*phrases, *(phrase for phrase in length if phrase not in phrases)]),
        code_block(dump(recipe, task.names)),
        quiet("Saved as best.yaml. To train it alone, in plain PyTorch:"),
        code_block(train_command(task)),
    )


def again(run: SideBySide) -> str:
    """The command that asks the same again."""
    fixed = f"Seed {run.settings.seed} fixes every split, initial weight, order and mask."
    words = command(run)
    if words is None:
        return section(
            "Run it again", quiet(f"Give the same recipes to lanewise {run.question.asked}, on the same data. {fixed}")
        )
    return section("Run it again", code_block(shlex.join(words)), quiet(fixed))


def command(run: SideBySide) -> Sequence[str] | None:
    """Asks the same again of the recipe on record; None where files or Python code are needed that no record has."""
    question, options = run.question, task_options(run.task)
    if run.folder is None or options is None or not isinstance(question, (Ablation, Sweep)):
        return None
    words = ["lanewise", question.asked, str(run.folder.best)]
    if isinstance(question, Sweep):
        words += ["--field", question.field, "--values", ",".join(entry.name for entry in question.entries)]
    elif not question.pairs:
        words.append("--no-pairs")
    words += [*options, "--repeats", short(len(run.repeats)), "--seed", str(run.settings.seed)]
    return words if str(run.engine.device) == "cpu" else [*words, "--device", str(run.engine.device)]
