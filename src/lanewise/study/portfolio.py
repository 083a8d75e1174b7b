"""The portfolio in a race: which of its recipes there is room for, and which is the baseline."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.recipe.recipe import Recipe
from lanewise.record.candidate import Candidate
from lanewise.sampling.combinations import Combinations
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.sampler import generation_sizes
from lanewise.study.settings import RaceSettings


def with_room(drawing: Drawing, engine: Engine, candidates: int | None) -> tuple[Drawing, list[str]]:
    """(`drawing` with those of its portfolio that can be raced, a line on each that cannot).

    It takes half of the `candidates` that are not enqueued at the most, so that the space is searched too.
    """
    found, lines = list[tuple[str, Recipe]](), list[str]()
    for name, recipe in drawing.portfolio:
        try:
            engine.check(recipe)
            found.append((name, recipe))
        except InputError as error:
            lines.append(f"portfolio: {name} is left out, since it cannot be trained: {error}")
    left_over = len(found) * 2 if candidates is None else max(0, candidates - len(drawing.enqueue))
    room = min(len(found), max(min(1, left_over), left_over // 2))
    if room < len(found):
        left = ", ".join(name for name, _ in found[room:])
        lines.append(f"portfolio: {candidates} candidates have room for {room} of {len(found)}; left out: {left}")
    return replace(drawing, portfolio=tuple(found[:room])), lines


def about_drawing(drawing: Drawing, space: Recipe, settings: RaceSettings, baseline: Recipe | None) -> list[str]:
    """What is raced beside what is drawn, and from how many structures that is."""
    lines = []
    if drawing.portfolio:
        names = [name for name, _ in drawing.portfolio]
        line = f"recipes that people use by habit are raced too: {', '.join(names)}"
        lines.append(line if baseline is not None else f"{line}; {names[0]} is the baseline")
    combinations = Combinations(space, settings.seed)
    if combinations.bounded and drawing.bounds:
        sizes = None if settings.candidates is None else generation_sizes(settings.candidates, settings.generations)
        lines.append(combinations.words(sizes))
    return lines


def usual(candidates: Iterable[Candidate]) -> Candidate | None:
    """The first candidate of the portfolio, if there is one."""
    return next((candidate for candidate in candidates if candidate.name), None)


def to_confirm(
    best: Sequence[Candidate], candidates: Sequence[Candidate], baseline: Recipe | None
) -> tuple[list[Candidate], int | None]:
    """(the finalists `best` anew, and the baseline if it is none of them; the baseline's number).

    Args:
        candidates: all that were drawn. baseline: the user's; without it the first of the portfolio is the baseline.
    """
    found = [Candidate(one.number, one.recipe, one.generation, name=one.name) for one in best]
    if baseline is not None:
        return [*found, Candidate(len(candidates), baseline, 0)], len(candidates)
    first = usual(candidates)
    if first is None:
        return found, None
    if first.number not in [one.number for one in found]:
        found.append(Candidate(first.number, first.recipe, first.generation, name=first.name))
    return found, first.number
