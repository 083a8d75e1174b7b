"""What the report says about recipes: each function takes a finished study and gives a part of the page."""

from collections.abc import Mapping, Sequence

from lanewise.recipe.file import dump
from lanewise.report.escape import escape
from lanewise.report.figures import curves
from lanewise.report.figures import race as figures
from lanewise.report.figures.outcome import DIVERGED, LEFT, CandidateOutcome, settings_that_differ
from lanewise.report.figures.plots import Figure, colour
from lanewise.report.page.commands import train_command
from lanewise.report.page.markup import (
    Cell,
    chips,
    code_block,
    figure_block,
    legend,
    more_button,
    quiet,
    section,
    table,
    tiles,
)
from lanewise.report.words import (
    NOTHING,
    counted,
    describe,
    lead_unit,
    lead_words,
    loss_words,
    score_column,
    time_words,
)
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.race import Study
from lanewise.verdict.phrases import REFERENCES, listed, means_words, unbeaten
from lanewise.verdict.verdict import Finalist, Verdict, chance_words, place_words

SHORT_TABLE = 15
"""Rows of the leaderboard that are shown at first; `page.css` hides the rest."""


def headline(verdict: Verdict) -> str:
    """Who won and how sure that is, in one line."""
    winner, same = verdict.finalists[0].candidate, len(verdict.indistinguishable)
    if len(verdict.finalists) == 1:
        lost = verdict.others_diverged
        why = f": {counted(lost, 'other')} diverged" if lost else ""
        return f"Candidate {winner} is the only finalist{why}{_beaten(verdict)}"
    # The winner is chosen by validation data alone; where test data say otherwise, so does the headline.
    behind = verdict.difference is not None and verdict.difference.mean < 0
    won = f"Candidate {winner} wins{' on validation data, but is behind on test data' if behind else ''}"
    won += _beaten(verdict)
    if verdict.others_diverged:
        return f"{won}: {'the other finalist' if len(verdict.finalists) == 2 else 'all other finalists'} diverged"
    return f"{won}; {counted(same, 'other finalist')} {'is' if same == 1 else 'are'} too close to call" if same else won


def _beaten(verdict: Verdict) -> str:
    """That simple models are as good as the winner, where they are."""
    names = [REFERENCES.get(name, name) for name in unbeaten(verdict.test.mean, verdict.references, verdict.kind)]
    behind = verdict.difference is not None and verdict.difference.mean < 0
    return f"{' and' if behind else ', but'} does not beat {listed(names, 'or')}" if names else ""


def opening(study: Study) -> str:
    """The verdict: in words, then in numbers."""
    verdict = study.verdict
    test, lead, fraction = verdict.test, verdict.difference, verdict.kind.fraction
    score, *ends = verdict.kind.interval_words([test.mean, test.low, test.high])
    facts = [(score, f"test {verdict.metric}; 95% interval {' to '.join(ends)}")]
    if lead is not None:
        mean, low, high = lead_words(lead, verdict.kind)
        to = "percentage points to" if fraction else f"lead in {verdict.metric} over"
        same, others = len(verdict.indistinguishable), len(verdict.finalists) - 1
        facts += [
            (
                mean,
                f"{to} the runner-up on test data; 95% interval {low} to {high}",
            ),
            (f"{same} of {others}", "other finalists are too close to the winner to call on validation data"),
        ]
    chance = verdict.finalists[0].chance
    if chance is not None and len(verdict.finalists) > 1:
        facts.append((chance_words(chance), "probability that the winner is the best of the finalists"))
    steps = counted(verdict.lane_steps, "step")
    facts.append((time_words(verdict.seconds["total"]), f"for the whole race: {steps} of training, all lanes together"))
    raced = f"{study.model_name} on {study.data_name} · {counted(verdict.candidates, 'recipe')} raced by Lanewise"
    words = " ".join(verdict.sentences())
    return (
        f'<header><p class="eyebrow">{escape(raced)}</p><h1>{escape(headline(verdict))}</h1>'
        f'<p class="lead">{escape(words)}</p>{tiles(facts)}</header>'
    )


def winner(study: Study) -> str:
    """The winning recipe, for people and for the program, and how to train it."""
    recipe = study.verdict.winner
    phrases = describe(recipe).split(" · ")
    length = [f"batch {recipe.batch_size}", counted(recipe.epochs, "epoch")]
    return section(
        "The winner's recipe",
        chips([*phrases, *(phrase for phrase in length if phrase not in phrases)]),
        code_block(dump(recipe, study.task.names)),
        quiet("Saved as best.yaml. To train it alone, in plain PyTorch:"),
        code_block(train_command(study.task)),
    )


def sureness(study: Study, drawn: list[Figure]) -> str:
    """The finalists beside each other."""
    verdict = study.verdict
    figure = figures.differences(verdict)
    if figure is None:
        return section(
            "How sure is it?",
            quiet("There was nothing to compare the winner with: no other recipe came as far as the confirmation."),
        )
    drawn.append(figure)
    heads = [
        ("", False),
        ("candidate", True),
        (f"validation {verdict.metric}", True),
        (f"winner's lead{lead_unit(verdict.kind)}", True),
        ("95% interval", True),
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
        figure_block(figure),
        table(heads, rows),
        quiet(means_words(study.confirm, verdict.kind)),
        intro=f"The best {counted(len(verdict.finalists), 'recipe')} of the race trained again from "
        f"{counted(study.confirm, 'fresh start')}, on splits of the data that the race had not used.",
    )


def _finalist(one: Finalist, verdict: Verdict, dot: str, score: str) -> list[Cell]:
    lead, kind = one.difference, verdict.kind
    words = [Cell(place_words(one, verdict)), *[Cell("")] * 2]
    if lead is not None:
        mean, low, high = lead_words(lead, kind)
        words[1:] = [Cell(mean), Cell(f"{low} to {high}")]
    words.append(Cell("" if one.chance is None else chance_words(one.chance)))
    recipe = Cell(describe(one.recipe), wrap=True)
    return [
        words[0],
        Cell(str(one.candidate), dot=dot),
        Cell(score),
        *words[1:],
        recipe,
    ]


def simple_models(study: Study) -> str:
    """The winner beside simple models, on the same test rows."""
    verdict = study.verdict
    of = f"test {verdict.metric}", "test examples"
    return simple_models_beside(
        "the winner", verdict.test.mean, verdict.references, verdict.reference_notes, verdict.kind, *of
    )


def simple_models_beside(
    name: str,
    score: float,
    references: Mapping[str, float],
    notes: Sequence[str],
    kind: ScoreKind,
    metric: str,
    examples: str,
) -> str:
    """A `score`, of what is called `name`, beside those of simple models; why there are none where there are none."""
    if not references:
        return section("Beside simple models", *map(quiet, notes)) if notes else ""
    known = {name: score, **references}
    words = kind.interval_words(list(known.values()))
    rows = [
        ("winner" if at == 0 else "", [Cell(REFERENCES.get(name, name)), Cell(word, score)])
        for at, ((name, score), word) in enumerate(zip(known.items(), words, strict=True))
    ]
    return section(
        "Beside simple models",
        table([("model", False), (metric, True)], rows),
        *map(quiet, notes),
        intro=f"The same metric on the same {examples}; the simple models learn from the same training examples.",
    )


def of_classes(study: Study) -> str:
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
        return ""
    return section(
        "The winner on each class",
        table(heads, rows, name="classes", sortable=True),
        more_button("classes", len(rows), "classes") if len(rows) > SHORT_TABLE else "",
        quiet(
            "Means over the new training runs, on the test examples. Precision: of the examples taken for the class, "
            "the share that is of it. Recall: of the examples of the class, the share that was found."
        ),
    )


def course(study: Study, found: Sequence[CandidateOutcome], drawn: list[Figure]) -> str:
    """How the race went: who left when, and the learning curves."""
    figure = figures.race(study, found)
    learning = curves.learning_curves(study, found)
    drawn += [figure, learning] if figure else [learning]
    generations = len({outcome.candidate.generation for outcome in found})
    left = sum(outcome.state == LEFT for outcome in found)
    lost = sum(outcome.state == DIVERGED for outcome in found)
    words = [
        f"{counted(len(found), 'recipe')}, each trained in {counted(study.settings.repeats, 'repeat')}"
        + (f", drawn in {generations} generations, each learning from those before it." if generations > 1 else "."),
        f"{left} left early." if left else "None left early.",
        f"{lost} diverged." if lost else "None diverged.",
        f"{study.verdict.duplicates} repeated the recipe of another." if study.verdict.duplicates else "",
    ]
    return section(
        "How the race went",
        figure_block(figure) if figure else "",
        figure_block(learning, legend(study.verdict)),
        intro=" ".join(filter(None, words)),
    )


def timed_numbers(study: Study, drawn: list[Figure]) -> str:
    """The schedules of the finalists."""
    figure = figures.schedules(study)
    if figure is None:
        return ""
    drawn.append(figure)
    many = len(study.verdict.finalists) > 1
    return section(
        "Schedules of the finalists" if many else "The winner's schedule", figure_block(figure, legend(study.verdict))
    )


def leaderboard(study: Study, found: Sequence[CandidateOutcome]) -> str:
    """Every candidate with the settings in which they differ."""
    differing = settings_that_differ([outcome.recipe for outcome in found], study.space)
    heads = [("place", True), ("candidate", True), ("state", False), (study.verdict.metric, True), ("loss", True)]
    heads += [(setting.name, setting.is_number) for setting in differing]
    order = [finalist.candidate for finalist in study.verdict.finalists]
    rows, kind = [], study.verdict.kind
    for at, outcome in enumerate(found):
        one = outcome.candidate
        known, score = one.loss == one.loss, kind.turned(one.score)
        cells = [
            Cell(str(outcome.place)),
            Cell(str(outcome.number), dot=colour(order.index(outcome.number)) if outcome.number in order else ""),
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
        table(heads, rows, name="candidates", sortable=True),
        more_button("candidates", len(rows), "candidates") if len(rows) > SHORT_TABLE else "",
        quiet(
            f"Validation {study.verdict.metric} and loss are means over the race's repeats when a recipe was last "
            "evaluated. Those that left were in the middle of their run, so compare them by their place. Winner and "
            "finalists stand in the order of the confirmation."
        ),
    )


def settings(study: Study, found: Sequence[CandidateOutcome], drawn: list[Figure]) -> str:
    """A first look at which settings mattered."""
    figured = figures.settings(study, found)
    drawn += figured
    if not figured:
        return ""
    return section(
        "Where the better recipes lie",
        f'<div class="grid">{"".join(map(figure_block, figured))}</div>',
        quiet(
            "Every dot is a recipe: its setting against its place in the race, the winner in colour, the other "
            "finalists dark. This is a first look and no proof: settings changed together, and the sampler drew more "
            "and more recipes from where it had seen good ones."
        ),
    )
