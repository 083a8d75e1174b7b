"""What mattered in a study, as a section of the report."""

from lanewise.report.figures.plots import Figure, Json, axis, layout, plain
from lanewise.report.page.parts import Drawing, Quiet, Section, section
from lanewise.report.words import counted
from lanewise.study.race import Study

POWER = (
    "It misses a lot: in 100 simulated races of 48 candidates by TPE, the one setting that explained 30% of the "
    "variance was found in 39%, one that explained half in 47%; 5% of those without influence were named. A pale "
    "bar does not show that a setting has no influence; a sweep of it, or more candidates, can."
)
"""Figures of `python -m bench importance`."""


def what_mattered(study: Study, drawn: list[Figure]) -> Section | None:
    """The settings by their importance; nothing where there were too few candidates to say."""
    if not study.verdict.importance:
        return None
    figure = bars(study)
    drawn.append(figure)
    return section(
        "What mattered",
        Drawing(figure),
        Quiet(
            "Importance is a setting's share of what all settings explain, beyond chance, of the candidates' places in "
            "the race: a number is fitted by a parabola in its rank, a choice by its options. It says which settings "
            "mattered in this race, not which value is best, and nothing about values outside the space. Settings are "
            "taken one at a time, so two that matter only together show little; and the sampler drew more recipes "
            f"where it had seen good ones, which hides what it learned early. {POWER}"
        ),
    )


def bars(study: Study) -> Figure:
    """One bar for each setting, the most important on top; pale where chance alone could have made it."""
    found = study.verdict.importance[::-1]
    clear = [one.name for one in reversed(found) if one.beyond_chance]
    names = [plain(one.name) for one in found]
    title = {
        0: "No setting stands out from chance",
        1: f"{clear[0] if clear else ''} mattered",
    }.get(len(clear), f"{', '.join(clear[:-1])} and {clear[-1] if clear else ''} mattered")
    data: list[Json] = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [float(f"{100 * one.share:.4g}") for one in found],
            "y": names,
            "marker": {"color": ["--c1" if one.beyond_chance else "--c1@0.3" for one in found]},
            "customdata": [
                f"{counted(one.candidates, 'candidate')}{'' if one.beyond_chance else '; chance alone could do this'}"
                for one in found
            ],
            "hovertemplate": "<b>%{y}</b><br>%{x:.0f}% of the importance<br>%{customdata}<extra></extra>",
        }
    ]
    height = 80 + 28 * len(found)
    shown = layout(height, xaxis=axis("share of the importance, %", grid=True, rangemode="tozero"), yaxis=axis())
    return Figure(
        "importance",
        title,
        "Pale bars explain no more than chance does in 1 of 20 tries with the places shuffled; of settings without "
        "influence, 1 in 20 is not pale.",
        height,
        {"": {"data": data, "layout": shown}},
        wide=False,
    )
