"""The figures of the report."""

from collections.abc import Sequence

import numpy as np

from lanewise.parts.schedules import Schedule, feedbacks, tabulate
from lanewise.report.figures.outcome import (
    DIVERGED,
    FINALIST,
    FINISHED,
    LEFT,
    WINNER,
    CandidateOutcome,
    Setting,
    run_length,
    settings_that_differ,
)
from lanewise.report.figures.plateaus import replayed
from lanewise.report.figures.plots import (
    Figure,
    Json,
    above,
    axis,
    colour,
    dash,
    finite,
    hover_name,
    layout,
    log_ticks,
    plain,
)
from lanewise.report.words import counted
from lanewise.study.race import Study
from lanewise.verdict.phrases import lead_words, metric_words, runs_words
from lanewise.verdict.recipe_words import label, shape_words
from lanewise.verdict.verdict import Verdict

ROW_PIXELS, LEAST_ROW_PIXELS, TALLEST = 9, 2, 900
POINTS_OF_A_SCHEDULE = 400
LOG_DECADES = 3
"""How far below the highest learning rate a logarithmic view of the schedules reaches: most of them end at zero."""


def differences(verdict: Verdict) -> Figure | None:
    """The winner's lead over every other finalist, with interval and single repeats; None where there is no other."""
    others = [finalist for finalist in verdict.finalists if finalist.difference is not None]
    if not others:
        return None
    winner, kind = verdict.finalists[0], verdict.kind
    unit, points, shown = (100, " points", ".2f") if kind.fraction else (1, "", ".3g")
    data: list[Json] = []
    for place, other in enumerate(others, start=1):
        interval, row = other.difference, len(others) - place
        if interval is None:
            continue
        name = hover_name(other.candidate, other.recipe)
        single = unit * kind.turned(winner.scores - other.scores)
        mean_words, low_words, high_words = lead_words(interval, kind)
        ink = colour(place) if other.significant else "--soft"
        data += [
            {
                "x": finite(single), "y": [row - 0.3] * len(single), "mode": "markers",
                "marker": {"symbol": "line-ns", "size": 6, "line": {"width": 1.5, "color": "--soft"}},
                "hovertemplate": f"{name}<br>one training run: %{{x:{shown}}}{points}<extra></extra>",
            },
            {
                "x": finite([unit * interval.low, unit * interval.high]), "y": [row, row], "mode": "lines",
                "line": {"width": 3, "color": ink}, "hoverinfo": "skip",
            },
            {
                "x": finite([unit * interval.mean]), "y": [row], "mode": "markers",
                "marker": {"size": 11, "color": ink, "line": {"width": 2, "color": "--page"}},
                "hovertemplate": f"{name}<br>{mean_words}{points}, {low_words} to {high_words}<extra></extra>",
            },
        ]  # fmt: skip
    ticks = [f"candidate {other.candidate}" for other in reversed(others)]
    widest = max(abs(unit * end) for other in others if (d := other.difference) for end in (d.low, d.high)) or 1.0
    height = 92 + 34 * len(others)
    same, count = len(verdict.tied), len(others)
    title = {
        0: f"The winner is significantly better than {'each' if count > 1 else 'the one'} other finalist",
        count: "All other finalists are too close to the winner to call"
        if count > 1
        else "The two finalists are too close to call",
    }.get(same, f"{same} of {count} other finalists are too close to the winner to call")
    shapes = [
        {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": "--soft", "width": 1}}
    ]
    sides = [
        above("← other better") | {"xref": "x", "x": 0, "xanchor": "right", "xshift": -8},
        above("winner better →") | {"xref": "x", "x": 0, "xanchor": "left", "xshift": 8},
    ]
    view = layout(
        height,
        xaxis=axis(f"winner's lead in {metric_words(verdict.metric)}{', percentage points' if kind.fraction else ''}",
                   grid=True, range=[-1.15 * widest, 1.15 * widest]),
        yaxis=axis(tickvals=list(range(len(others))), ticktext=ticks, range=[-0.7, len(others) - 0.4]),
        shapes=shapes,
        annotations=sides,
    )  # fmt: skip
    wide_enough = f", wide enough for {count} comparisons at once" if count > 1 else ""
    caption = (
        f"Dot and bar: mean over {runs_words(len(winner.scores))} with its 95% CI{wide_enough}. Small strokes: single "
        "training runs, in which both recipes had the same examples, batches and initial weights. A bar that crosses "
        "zero means: too close to call."
    )
    return Figure("differences", title, caption, height, {"": {"data": data, "layout": view}})


def race(study: Study, found: Sequence[CandidateOutcome]) -> Figure | None:
    """How far every candidate came, by generation; None where all of them ran to the end."""
    if not any(outcome.state in (LEFT, DIVERGED) for outcome in found):
        return None
    rows: dict[int, float] = {}
    labels: list[tuple[float, str]] = []
    top = 0.0
    for generation in sorted({outcome.candidate.generation for outcome in found}):
        own = [outcome for outcome in found if outcome.candidate.generation == generation]
        rows |= {outcome.number: top + at for at, outcome in enumerate(own)}
        labels.append((top + (len(own) - 1) / 2, f"generation {generation + 1}"))
        top += len(own) + 1.5
    pixels = max(LEAST_ROW_PIXELS, min(ROW_PIXELS, TALLEST / top))
    data: list[Json] = []
    looks = {WINNER: "--c1", FINALIST: "--ink", FINISHED: "--soft", LEFT: "--faint", DIVERGED: "--soft"}
    for state in reversed(looks):
        own = [outcome for outcome in found if outcome.state == state]
        ys = [rows[outcome.number] for outcome in own]
        ends = [100 * outcome.reached for outcome in own]
        data += [
            {
                "x": [x for end in ends for x in (0, end, None)], "y": [y for row in ys for y in (row, row, None)],
                "mode": "lines", "hoverinfo": "skip",
                "line": {"color": looks[state], "width": max(1.5, 0.35 * pixels if state != WINNER else 0.5 * pixels)},
            },
            {
                "x": finite(ends), "y": ys, "mode": "markers", "cliponaxis": False,
                "marker": {"size": max(3, 0.75 * pixels), "color": looks[state],
                           "symbol": "x" if state == DIVERGED else "circle"},
                "text": [hover_name(outcome.number, outcome.recipe, outcome.words) for outcome in own],
                "hovertemplate": "%{text}<extra></extra>",
            },
        ]  # fmt: skip
    leavings = sorted({outcome.candidate.stopped_at for outcome in found if outcome.candidate.stopped_at is not None})
    # Whoever diverged before is not among those that stayed.
    staying = [
        sum(outcome.reached > rung if outcome.state == DIVERGED else outcome.candidate.stopped_at is None
            or outcome.candidate.stopped_at > rung for outcome in found)
        for rung in leavings
    ]  # fmt: skip
    finished = sum(outcome.state in (WINNER, FINALIST, FINISHED) for outcome in found)
    ticks = [
        (0.0, len(found)),
        *((100 * at, stay) for at, stay in zip(leavings, staying, strict=True)),
        (100.0, finished),
    ]
    height = round(76 + pixels * top)
    view = layout(
        height,
        xaxis=axis("share of the run, and how many recipes were still training", grid=True, range=[-1, 101],
                   tickangle=0, tickvals=[at for at, _ in ticks],
                   ticktext=[f"{at:.0f}%<br>{stay:,}" for at, stay in ticks]),
        yaxis=axis(tickvals=[at for at, _ in labels], ticktext=[words for _, words in labels], range=[top - 0.5, -1]),
        margin={"l": 8, "r": 28, "t": 8, "b": 8},
    )  # fmt: skip
    caption = (
        "One line for each recipe, as long as its training: the winner in colour, the other finalists dark. Within a "
        "generation, better recipes are higher. Recipes are stopped by their projected score, not by their current "
        "one, which would penalise those whose learning rate decays late."
    )
    title = f"{finished} of {counted(len(found), 'recipe')} trained to the end"
    return Figure("race", title, caption, height, {"": {"data": data, "layout": view}})


def schedules(study: Study) -> Figure | None:
    """Every number of the finalists that follows a schedule, over the run; None where none does."""
    finalists = study.verdict.finalists
    timed: dict[str, None] = {}
    for finalist in finalists:
        timed |= {name: None for name, value in finalist.recipe.numbers().items() if isinstance(value, Schedule)}
    if not timed:
        return None
    names = list(timed)
    again = {candidate.number: candidate for candidate in study.confirmed}
    in_epochs = len({finalist.recipe.epochs for finalist in finalists}) == 1
    variants: dict[str, Json] = {}
    hears = False
    for number, name in enumerate(names):
        data: list[Json] = []
        highest = 0.0
        for place, finalist in enumerate(finalists):
            value = finalist.recipe.numbers().get(name)
            if value is None:
                continue
            total, per_epoch = run_length(study, finalist.recipe)
            table = tabulate(value, total, per_epoch)
            if feedbacks(value, total, per_epoch):
                hears, points = True, next(iter(again[finalist.candidate].curves.values()))
                table = replayed(finalist.recipe, total, per_epoch, points).tables[name]
            at = np.unique(np.linspace(0, total - 1, POINTS_OF_A_SCHEDULE).round().astype(int))
            highest = max(highest, float(table.max()))
            # The last step's value holds until the run is over.
            x, y = np.append(at, total), np.append(table[at], table[-1])
            data.append({
                "x": finite(x / per_epoch if in_epochs else 100 * x / total), "y": finite(y),
                "mode": "lines", "meta": finalist.candidate,
                "line": {"color": colour(place), "dash": dash(place), "width": 3 if place == 0 else 2, "shape": "hv"},
                "hovertemplate": f"{hover_name(finalist.candidate, finalist.recipe)}<br>%{{y:.3g}} at %{{x:.1f}}"
                                 f"{' epochs' if in_epochs else '% of the run'}<extra></extra>",
            })  # fmt: skip
        words = label(name)
        end = finalists[0].recipe.epochs if in_epochs else 100
        across = axis("epoch" if in_epochs else "share of the run, %", range=[0, end])
        floor = np.log10(highest) - LOG_DECADES if highest > 0 else 0.0
        for scale, up in enumerate((
            axis(grid=True, rangemode="tozero", nticks=6),
            axis(grid=True, type="log", range=[floor, floor + LOG_DECADES + 0.1],
                 **log_ticks(10**floor, 10 ** (floor + LOG_DECADES))),
        )):  # fmt: skip
            view = layout(340, xaxis=across, yaxis=up, annotations=[above(words)])
            variants[f"{number}-{scale}"] = {"data": data[::-1], "layout": view}
    toggles = (tuple(map(label, names)), ("linear", "logarithmic"))
    caption = "Each value as the recipe sets it, step by step."
    if hears:
        caption += " Reductions by a plateau are those of the first new training run; others may differ."
    shapes = {shape_words(finalist.recipe.numbers()["lr"]) for finalist in finalists}
    title = "How the finalists' settings change over the run"
    if len(shapes) == 1:
        who = "All finalists share" if len(finalists) > 1 else "The winner has"
        title = f"{who} one learning-rate schedule: {shapes.pop()}"
    return Figure("schedules", title, caption, 340, variants, toggles)


def settings(study: Study, found: Sequence[CandidateOutcome]) -> list[Figure]:
    """For every setting that differs, where in it the better recipes lie: place in the race against its value."""
    differing = settings_that_differ([outcome.recipe for outcome in found], study.space)
    return [_setting(f"setting-{at}", setting, found) for at, setting in enumerate(differing)]


def _setting(name: str, setting: Setting, found: Sequence[CandidateOutcome]) -> Figure:
    # From last to best, so that the winner is drawn over the others.
    pairs = list(zip(setting.values, found, strict=True))[::-1]
    there = [(value, outcome) for value, outcome in pairs if value is not None]
    values, places = [value for value, _ in there], [outcome.place for _, outcome in there]
    looks = {WINNER: "--c1", FINALIST: "--ink", FINISHED: "--soft"}
    marks: Json = {
        "mode": "markers", "cliponaxis": False,
        "marker": {
            "size": [9 if outcome.state in (WINNER, FINALIST) else 6 for _, outcome in there],
            "color": [looks.get(outcome.state, "--faint") for _, outcome in there],
            "opacity": 1, "line": {"width": 0},
        },
        "text": [hover_name(outcome.number, outcome.recipe, outcome.words) for _, outcome in there],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    last = len(found)
    margin = {"l": 8, "r": 16, "t": 10, "b": 8}
    places_axis: Json = {"tickvals": [1, last], "ticktext": ["best", "last"]}
    if setting.is_number:
        numbers = [float(value) for value in values]
        scale = {"type": "log", **log_ticks(min(numbers), max(numbers), most=6)} if setting.log else {"nticks": 5}
        up = axis(range=[last + 0.04 * last, 1 - 0.04 * last], **places_axis)
        view = layout(190, xaxis=axis(tickangle=0, **scale), yaxis=up, margin=margin)
        data: Json = {"x": finite(numbers), "y": places} | marks
        return Figure(name, setting.name, "", 190, {"": {"data": [data], "layout": view}}, wide=False)
    words = list(dict.fromkeys(str(value) for value in reversed(values)))
    height = 40 + 36 * len(words)
    # The words stand above their line, where a narrow page has room for them.
    labels = [
        {"text": plain(word), "xref": "paper", "x": 0, "xanchor": "left", "y": row, "yanchor": "bottom",
         "yshift": 5, "showarrow": False}
        for row, word in enumerate(words)
    ]  # fmt: skip
    view = layout(
        height,
        xaxis=axis(range=[1 - 0.02 * last, last + 0.02 * last], **places_axis),
        yaxis=axis(
            grid=True, tickvals=list(range(len(words))), ticktext=[""] * len(words), range=[len(words) - 0.6, -0.9]
        ),
        margin=margin,
        annotations=labels,
    )
    data = {"x": places, "y": [words.index(str(value)) for value in values]} | marks
    return Figure(name, setting.name, "", height, {"": {"data": [data], "layout": view}})
