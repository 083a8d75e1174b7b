"""What the report says about recipes: each function takes a finished study and gives a part of the page."""

from collections.abc import Mapping, Sequence

from lanewise.recipe.file import dump
from lanewise.recipe.recipe import Recipe
from lanewise.report.figures import curves
from lanewise.report.figures import race as figures
from lanewise.report.figures.outcome import DIVERGED, LEFT, CandidateOutcome, settings_that_differ
from lanewise.report.figures.plots import Figure, colour
from lanewise.report.page.commands import train_command
from lanewise.report.page.parts import (
    Cell,
    Chips,
    Code,
    Drawing,
    Grid,
    Opening,
    Quiet,
    Section,
    Table,
    legend,
    more_button,
    section,
)
from lanewise.report.words import NOTHING, counted, lead_unit, loss_words, score_column, time_words
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.race import Study
from lanewise.task.task import Task
from lanewise.verdict.phrases import REFERENCES, chance_words, lead_words, means_words, metric_words, runs_words
from lanewise.verdict.recipe_words import describe
from lanewise.verdict.verdict import Finalist, Verdict, place_words

SHORT_TABLE = 15
"""Rows of the leaderboard that are shown at first; `page.css` hides the rest."""


def opening(study: Study) -> Opening:
    """The verdict: in words, then in numbers."""
    verdict, metric = study.verdict, metric_words(study.verdict.metric)
    test, lead = verdict.test, verdict.difference
    score, *ends = verdict.kind.interval_words([test.mean, test.low, test.high])
    facts = [(score, f"test {metric}; 95% CI {' to '.join(ends)}")]
    if lead is not None:
        mean, low, high = lead_words(lead, verdict.kind)
        unit = "percentage points" if verdict.kind.fraction else metric
        tied, others = len(verdict.tied), len(verdict.finalists) - 1
        facts += [
            (mean, f"lead over the runner-up on test, in {unit}; 95% CI {low} to {high}"),
            (f"{tied} of {others}", "other finalists are too close to call on validation examples"),
        ]
    if len(verdict.finalists) > 1:
        facts.append((chance_words(verdict.finalists[0].chance), "chance that the winner is the best of the finalists"))
    steps = counted(verdict.lane_steps, "training step")
    facts.append((time_words(verdict.seconds["total"]), f"for the whole race: {steps} over all lanes"))
    raced = f"{study.model_name} on {study.data_name} · {counted(verdict.candidates, 'recipe')} raced by Lanewise"
    headline, *words = verdict.sentences()
    return Opening(raced, headline, " ".join(words), facts)


def winner(study: Study) -> Section | None:
    """The winning recipe, for people and for the program, and how to train it."""
    return recipe_in_full("The winner's recipe", study.verdict.winner, study.task)


def recipe_in_full(title: str, recipe: Recipe, task: Task) -> Section | None:
    """A recipe in words and as the file has it, and the command that trains it."""
    phrases = describe(recipe).split(" · ")
    length = [f"batch size {recipe.batch_size}", counted(recipe.epochs, "epoch")]
    return section(
        title,
        Chips([*phrases, *(phrase for phrase in length if phrase not in phrases)]),
        Code(dump(recipe, task.names)),
        Quiet("Saved as best.yaml. To train it alone, in plain PyTorch:"),
        Code(train_command(task, recipe)),
    )


def sureness(study: Study, drawn: list[Figure]) -> Section | None:
    """The finalists beside each other."""
    verdict = study.verdict
    figure = figures.differences(verdict)
    if figure is None:
        return section("How sure is it?", Quiet("There is only one finalist, so there is nothing to compare it with."))
    drawn.append(figure)
    heads = [
        ("", False),
        ("candidate", True),
        (f"validation {metric_words(verdict.metric)}", True),
        (f"winner's lead{lead_unit(verdict.kind)}", True),
        ("95% CI", True),
        ("P(best)", True),
        ("recipe", False),
    ]
    column = score_column([(one.scores, one.mean) for one in verdict.finalists], verdict.kind)
    rows = [
        ("winner" if at == 0 else "finalist", _finalist(one, verdict, colour(at), score))
        for at, (one, score) in enumerate(zip(verdict.finalists, column, strict=True))
    ]
    return section(
        "How sure is it?",
        Drawing(figure),
        Table(heads, rows),
        Quiet(means_words(study.confirm, verdict.kind)),
        intro=f"The best {counted(len(verdict.finalists), 'recipe')} of the race were trained again, in "
        f"{runs_words(study.confirm)} each, on splits of the data that the race had not used.",
    )


def _finalist(one: Finalist, verdict: Verdict, dot: str, score: str) -> list[Cell]:
    lead = [Cell(""), Cell("")]
    if one.difference is not None:
        mean, low, high = lead_words(one.difference, verdict.kind)
        lead = [Cell(mean), Cell(f"{low} to {high}")]
    return [
        Cell(place_words(one, verdict)),
        Cell(one.label, one.candidate, dot=dot),
        Cell(score),
        *lead,
        Cell(chance_words(one.chance)),
        Cell(describe(one.recipe), wrap=True),
    ]


def simple_models(study: Study) -> Section | None:
    """The winner beside simple models, on the same test rows."""
    verdict = study.verdict
    return simple_models_beside(
        "the winner", verdict.test.mean, verdict.references, verdict.reference_notes, verdict.kind,
        verdict.metric, "test",
    )  # fmt: skip


def simple_models_beside(
    name: str,
    score: float,
    references: Mapping[str, float],
    notes: Sequence[str],
    kind: ScoreKind,
    metric: str,
    on: str,
) -> Section | None:
    """A `score`, of what is called `name`, beside those of simple models; why there are none where there are none.

    Args:
        on: "test" or "validation".
    """
    if not references:
        return section("Beside simple models", *map(Quiet, notes))
    known = {name: score, **references}
    words = kind.interval_words(list(known.values()))
    rows = [
        ("winner" if at == 0 else "", [Cell(REFERENCES.get(name, name)), Cell(word, score)])
        for at, ((name, score), word) in enumerate(zip(known.items(), words, strict=True))
    ]
    return section(
        "Beside simple models",
        Table([("model", False), (f"{on} {metric_words(metric)}", True)], rows),
        *map(Quiet, notes),
        intro=f"Simple models, fitted on the same training examples and scored on the same {on} examples.",
    )


def of_classes(study: Study) -> Section | None:
    """How the winner does on each class."""
    classes = study.verdict.classes

    def share(value: float | None) -> Cell:
        return Cell(NOTHING if value is None else f"{value:.1%}", "" if value is None else value)

    heads = [("class", False), ("test examples", True), ("precision", True), ("recall", True), ("F1", True)]
    rows = [
        ("", [Cell(one.name), Cell(f"{one.rows:,}", one.rows), share(one.precision), share(one.recall), share(one.f1)])
        for one in classes
    ]
    if not rows:
        return None
    return section(
        "The winner on each class",
        Table(heads, rows, name="classes", sortable=True),
        more_button("classes", len(rows), "classes", SHORT_TABLE),
        Quiet(
            "Means over the new training runs, on the test examples. Precision: the share of examples predicted as "
            "this class that belong to it. Recall: the share of this class's examples that were predicted as it."
        ),
    )


def course(study: Study, found: Sequence[CandidateOutcome], drawn: list[Figure]) -> Section | None:
    """How the race went: who was stopped when, and the learning curves."""
    figure = figures.race(study, found)
    learning = curves.learning_curves(study, found)
    drawn += [figure, learning] if figure else [learning]
    generations = len({outcome.candidate.generation for outcome in found})
    stopped = sum(outcome.state == LEFT for outcome in found)
    lost = sum(outcome.state == DIVERGED for outcome in found)
    words = [
        f"{counted(len(found), 'recipe')}, each trained in {counted(study.settings.repeats, 'repeat')}"
        + (f", drawn in {generations} generations, each learning from those before it." if generations > 1 else "."),
        f"{stopped} were stopped early." if stopped > 1 else "1 was stopped early." if stopped else "None was stopped.",
        f"{lost} diverged." if lost else "None diverged.",
        f"{study.verdict.duplicates} had the same recipe as another." if study.verdict.duplicates else "",
    ]
    return section(
        "How the race went",
        Drawing(figure) if figure else None,
        Drawing(learning, legend(study.verdict)),
        intro=" ".join(filter(None, words)),
    )


def timed_numbers(study: Study, drawn: list[Figure]) -> Section | None:
    """The schedules of the finalists."""
    figure = figures.schedules(study)
    if figure is None:
        return None
    drawn.append(figure)
    many = len(study.verdict.finalists) > 1
    title = "Schedules of the finalists" if many else "The winner's schedule"
    return section(title, Drawing(figure, legend(study.verdict)))


def leaderboard(study: Study, found: Sequence[CandidateOutcome]) -> Section | None:
    """Every candidate with the settings in which they differ."""
    metric, kind = metric_words(study.verdict.metric), study.verdict.kind
    differing = settings_that_differ([outcome.recipe for outcome in found], study.space)
    heads = [("place", True), ("candidate", True), ("state", False), (metric, True), ("loss", True)]
    heads += [(setting.name, setting.is_number) for setting in differing]
    order = [finalist.candidate for finalist in study.verdict.finalists]
    rows = []
    for at, outcome in enumerate(found):
        one = outcome.candidate
        known, score = one.loss == one.loss, kind.turned(one.score)
        cells = [
            Cell(str(outcome.place)),
            Cell(
                f"{one.number} {one.name}".rstrip(),
                one.number,
                dot=colour(order.index(one.number)) if one.number in order else "",
            ),
            Cell(outcome.words),
            Cell(kind.words(score, 2) if one.scored else NOTHING, score if one.scored else ""),
            Cell(loss_words(one.loss) if known else NOTHING, one.loss if known else ""),
        ]
        for setting in differing:
            value = setting.values[at]
            cells.append(Cell(setting.texts[at], "" if value is None else value))
        rows.append((outcome.state, cells))
    return section(
        "All candidates",
        Table(heads, rows, name="candidates", sortable=True),
        more_button("candidates", len(rows), "candidates", SHORT_TABLE),
        Quiet(
            f"Validation {metric} and loss are means over the race's repeats at the last evaluation of each recipe. "
            "Recipes that were stopped early had not finished, so compare them by place, not by score. The winner and "
            "the other finalists are in the order of the confirmation."
        ),
    )


def settings(study: Study, found: Sequence[CandidateOutcome], drawn: list[Figure]) -> Section | None:
    """A first look at which settings mattered."""
    figured = figures.settings(study, found)
    drawn += figured
    if not figured:
        return None
    return section(
        "Where the better recipes lie",
        Grid([Drawing(figure) for figure in figured]),
        Quiet(
            "Every dot is a recipe: its setting against its place in the race, the winner in colour, the other "
            "finalists dark. This is a first look, not a proof: several settings changed at once, and the sampler drew "
            "more recipes where it had seen good ones."
        ),
    )
