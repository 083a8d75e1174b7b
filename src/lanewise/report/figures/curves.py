"""The learning curves of the report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanewise.record.candidate import Candidate
from lanewise.report.figures.outcome import FINALIST, FINISHED, LEFT, WINNER, CandidateOutcome, run_length
from lanewise.report.figures.plateaus import has_plateaus, replayed
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
from lanewise.report.words import counted, loss_words
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.race import Study
from lanewise.verdict.phrases import metric_words, runs_words
from lanewise.verdict.recipe_words import TIMES, label, short

HEIGHT = 460
HEADROOM = 1.15
TAKEN_DOWN = "plateau"
"""What the traces are called that show where plateaus reduced; no legend shows names."""


@dataclass(frozen=True)
class Measure:
    """A column of the curves: its place in a point, its name, and the kind of its scores; None for a loss."""

    column: int
    name: str
    kind: ScoreKind | None = None

    @property
    def percent(self) -> bool:
        """Whether it is written in percent."""
        return self.kind is not None and self.kind.fraction

    @property
    def falls(self) -> bool:
        """Whether less of it is better."""
        return self.kind is None or not self.kind.greater_is_better


@dataclass(frozen=True)
class Curve:
    """One measure of one candidate over its run: mean, lowest and highest over repeats, float [points] each."""

    progress: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve(candidate: Candidate, column: int, kind: ScoreKind | None = None) -> Curve:
    """The points that every repeat of `candidate` reached with a finite value; scores of `kind` in their direction."""
    repeats = [np.array(points, dtype=float) for points in candidate.curves.values() if points]
    if not repeats:
        return Curve(*np.empty((4, 0)))
    length = min(len(points) for points in repeats)
    values = np.stack([points[:length, column] for points in repeats])
    values = values if kind is None else kind.turned(values)
    usable = np.isfinite(values).all(axis=0)
    values = values[:, usable]
    return Curve(repeats[0][:length, 0][usable], values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def learning_curves(study: Study, found: Sequence[CandidateOutcome]) -> Figure:
    """Loss and metric over the run, of all candidates in the race and of the finalists in the confirmation."""
    metric = study.verdict.metric
    measures = (
        Measure(2, "validation loss"),
        Measure(3, f"validation {metric_words(metric)}", study.verdict.kind),
        Measure(1, "training loss"),
    )
    order = [finalist.candidate for finalist in study.verdict.finalists]
    raced = sorted(found, key=lambda outcome: -outcome.place)
    again = {candidate.number: candidate for candidate in study.confirmed}
    confirmed = [(again[outcome.number], outcome) for outcome in raced if outcome.number in again]
    pools = ([(outcome.candidate, outcome) for outcome in raced], confirmed)
    variants = {
        f"{at}-{phase}": _variant(study, measure, pool, order)
        for at, measure in enumerate(measures)
        for phase, pool in enumerate(pools)
    }
    toggles = (
        tuple(measure.name for measure in measures),
        (
            f"race, {counted(study.settings.repeats, 'repeat')}",
            f"confirmation, {runs_words(study.confirm)}",
        ),
    )
    ends = [c.mean[-1] for candidate, _ in confirmed if len((c := curve(candidate, measures[0].column)).mean)]
    title = "Learning curves"
    if ends:
        low, high = loss_words(min(ends)), loss_words(max(ends))
        span = f"of {low}" if low == high else f"between {low} and {high}"
        who = "the finalists end" if len(ends) > 1 else "the winner ends"
        # The race, which is shown first, ends elsewhere: other repeats, and many more recipes.
        title = f"In the confirmation {who} at a validation loss {span}"
    caption = (
        "Lines: mean over repeats. Band: lowest to highest repeat of the winner, or of the recipe you point at in the "
        "legend. Grey: recipes that are not finalists, up to where they were stopped. A high learning rate looks bad "
        "before it decays, so do not compare lines that end early with those that go on. The training loss includes "
        "dropout, label smoothing and other noise of training. Double-click to see everything."
    )
    if any(trace.get("name") == TAKEN_DOWN for variant in variants.values() for trace in variant["data"]):
        caption += " Triangles on the lines of finalists: a plateau reduced a setting there, in at least one repeat."
    return Figure("curves", title, caption, HEIGHT, variants, toggles)


def _reductions(study: Study, candidate: Candidate, found: Curve) -> tuple[list[int], list[str]]:
    """Points of the curve at which plateaus took a number down in some repeat, and what they did, in words."""
    total, per_epoch = run_length(study, candidate.recipe)
    if not has_plateaus(candidate.recipe, total, per_epoch):
        return [], []
    times: dict[float, Counter[str]] = {}
    for points in candidate.curves.values():
        for one in replayed(candidate.recipe, total, per_epoch, points).reductions:
            what = f"{label(one.name)} {TIMES} {short(one.factor)}"
            times.setdefault(one.progress, Counter())[what] += 1
    at = [index for index, progress in enumerate(found.progress) if progress in times]
    told = [times[found.progress[index]] for index in at]
    repeats = len(candidate.curves)
    return at, ["; ".join(f"{what} in {n} of {counted(repeats, 'repeat')}" for what, n in did.items()) for did in told]


def _variant(
    study: Study, measure: Measure, pool: Sequence[tuple[Candidate, CandidateOutcome]], order: list[int]
) -> Json:
    in_epochs = len({outcome.recipe.epochs for _, outcome in pool}) == 1
    factor = pool[0][1].recipe.epochs if in_epochs else 100
    unit = "epoch %{x:.3g}" if in_epochs else "%{x:.0f}% of the run"
    shown = "%{y:.2%}" if measure.percent else "%{y:.4f}" if measure.kind is None else "%{y:.4g}"
    bands: list[Json] = []
    lines: list[Json] = []
    drawn: list[tuple[Curve, CandidateOutcome]] = []
    for candidate, outcome in pool:
        found = curve(candidate, measure.column, measure.kind)
        if not len(found.mean):
            continue
        drawn.append((found, outcome))
        x = finite(found.progress * factor)
        best = outcome.state in (WINNER, FINALIST)
        place = order.index(outcome.number) if best else 0
        if best:
            edge = finite(np.concatenate([found.high, found.low[::-1]]))
            bands.append({
                "x": x + x[::-1], "y": edge, "fill": "toself", "fillcolor": f"{colour(place)}@0.16", "mode": "none",
                "hoverinfo": "skip", "meta": outcome.number, "opacity": 1 if place == 0 else 0,
            })  # fmt: skip
        width = (3 if place == 0 else 2) if best else 1
        lines.append({
            "x": x, "y": finite(found.mean), "mode": "lines+markers", "meta": outcome.number,
            "line": {"color": colour(place) if best else "--faint", "width": width, "dash": dash(place)},
            "marker": {"size": [0] * (len(x) - 1) + [7 if best else 4], "opacity": 1, "line": {"width": 0}},
            "hovertemplate": f"{hover_name(outcome.number, outcome.recipe, outcome.words)}<br>"
                             f"{plain(measure.name)} {shown}, {unit}<extra></extra>",
        })  # fmt: skip
        at, told = _reductions(study, candidate, found) if best else ([], [])
        if at:
            lines.append({
                "x": [x[index] for index in at], "y": finite(found.mean[at]), "mode": "markers", "name": TAKEN_DOWN,
                "meta": outcome.number, "text": [plain(words) for words in told],
                "marker": {"symbol": "triangle-down", "size": 11, "color": colour(place), "line": {"width": 0}},
                "hovertemplate": f"{hover_name(outcome.number, outcome.recipe)}<br>%{{text}}<extra></extra>",
            })  # fmt: skip
    across = axis("epoch" if in_epochs else "share of the run, %", fixedrange=False, range=[0, 1.02 * factor])
    # Errors fall over decades; a loss of one's own may fall below zero, where there is no logarithm.
    log = measure.falls and not measure.percent and all(found.low.min() >= 0 for found, _ in drawn)
    words = f"{measure.name}, logarithmic" if log else measure.name
    upward = _upward(measure, drawn, log)
    view = layout(HEIGHT, xaxis=across, yaxis=upward, dragmode="zoom", annotations=[above(words)])
    return {"data": bands + lines, "layout": view}


def _upward(measure: Measure, drawn: Sequence[tuple[Curve, CandidateOutcome]], log: bool) -> Json:
    """The vertical axis, framed for the recipes that finished; what runs off to one side is left outside."""
    ended = [found for found, outcome in drawn if outcome.state in (WINNER, FINALIST, FINISHED)]
    low = min((float(found.low.min()) for found in ended), default=0.0)
    high = max((float(found.high.max()) for found in ended), default=1.0)
    if log:
        others = [float(found.mean.max()) for found, outcome in drawn if outcome.state == LEFT]
        # Half of those that left fit into the frame too; a few that went astray must not flatten the rest.
        high = max([high, *([float(np.median(others))] if others else [])])
        low = max(low, 1e-9)
        reach = [np.log10(low / HEADROOM), np.log10(max(high, low) * HEADROOM)]
        return axis(grid=True, type="log", range=reach, fixedrange=False, **log_ticks(low / HEADROOM, high * HEADROOM))
    if not measure.percent:
        # No bound stops a score that went astray on the way: the worst of half of the recipes fit, and all ends.
        ends = [float(value) for found in ended for value in (found.low[-1], found.high[-1])]
        if ended and measure.falls:
            high = max([float(np.median([found.high.max() for found in ended])), *ends])
        elif ended:
            low = min([float(np.median([found.low.min() for found in ended])), *ends])
        room = 0.05 * ((high - low) or abs(high) or 1.0)
        return axis(grid=True, nticks=7, fixedrange=False, range=[low - room, high + room])
    start = max(0.0, low - 0.05 * (high - low))
    return axis(
        grid=True, tickformat=".0%", nticks=7, fixedrange=False, range=[start, min(1.0, high) + 0.02 * (1 - start)]
    )
