"""One generation of candidates in the race: who can be trained, who leaves at a rung, what the sampler gets."""

from collections.abc import Callable, Sequence

import numpy as np

from lanewise.errors import InputError
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.training.groups import Scores
from lanewise.racing import PRUNERS, compute_for, ranked
from lanewise.record.candidate import Candidate, rung_scores
from lanewise.sampling.sampler import Sampler
from lanewise.statistics.score_kind import ScoreKind
from lanewise.study.settings import RaceSettings
from lanewise.study.stage import Stage


def checked(drawn: Sequence[Candidate], engine: Engine) -> tuple[list[Candidate], dict[int, InputError]]:
    """(those of `drawn` that can be trained, why each other one cannot, by its number)."""
    found: list[Candidate] = []
    refused: dict[int, InputError] = {}
    for candidate in drawn:
        try:
            engine.check(candidate.recipe)
            found.append(candidate)
        except InputError as error:
            refused[candidate.number] = error
    return found, refused


def trainable(drawn: Sequence[Candidate], engine: Engine) -> list[Candidate]:
    """Those of `drawn` that can be trained.

    Raises:
        InputError: none of them can.
    """
    found, refused = checked(drawn, engine)
    if not found:
        raise next(iter(refused.values()))
    return found


def usable(
    drawn: Sequence[Candidate], engine: Engine, sampler: Sampler, note: Callable[[str], None]
) -> list[Candidate]:
    """The candidates of a generation that can be trained; each other one is noted and leaves at once.

    Raises:
        InputError: none of the first generation can be trained.
    """
    found, refused = checked(drawn, engine)
    if not refused:
        return found
    for candidate in drawn:
        if candidate.number in refused:
            candidate.stopped_at = 0.0
            sampler.tell(candidate.number, None, diverged=False)
    sampler.write()
    first = next(iter(refused.values()))
    if not found and not drawn[0].number:
        raise first
    note(f"{len(refused)} of {len(drawn)} recipes drawn cannot be trained: {first}")
    return found


def leave_at_rung(
    stage: Stage,
    progress: float,
    rungs: Sequence[float],
    pruner: str,
    sampler: Sampler,
    kind: ScoreKind,
    least: int = 1,
) -> None:
    """Score the live candidates as if they stopped now, and let go those that `pruner` does not keep.

    Args:
        least: different recipes that stay in any case, the best now beside those that the pruner keeps.
    """
    cohort = stage.cohort
    assert stage.last is not None
    worth = rung_scores(cohort.projected_scores(stage.last), kind.fraction)
    stage.rungs = np.concatenate([stage.rungs, worth[None]])
    live = np.array(cohort.live)
    kept = at_least(least, PRUNERS[pruner](stage.rungs, np.array(rungs), live, compute_for(rungs)), live, stage)
    for at in live:
        sampler.report(stage.own[at].number, len(stage.rungs), float(worth[at].mean()))
        if at not in kept:
            stage.own[at].stopped_at = progress
    sampler.write()
    cohort.keep([int(at) for at in kept])


def at_least(least: int, kept: np.ndarray, live: np.ndarray, stage: Stage) -> np.ndarray:
    """`kept`, with the best of `live` at the last rung until so many different recipes are there."""
    found, there = list(kept), {str(stage.own[at].recipe) for at in kept}
    for at in ranked(stage.rungs, live):
        if len(there) < least and (recipe := str(stage.own[at].recipe)) not in there:
            found.append(at)
            there.add(recipe)
    return np.sort(np.array(found))


def tell(own: Sequence[Candidate], sampler: Sampler, kind: ScoreKind) -> None:
    """Tell the sampler how the candidates of a generation ended."""
    for candidate in own:
        diverged = bool(candidate.diverged) or (candidate.stopped_at is None and not candidate.scored)
        ended = candidate.stopped_at is None and not diverged
        last = Scores(np.array(candidate.loss), np.array(candidate.score))
        score = float(rung_scores(last, kind.fraction)) if ended else None
        sampler.tell(candidate.number, score, diverged)
    sampler.write()


def least_to_keep(candidates: Sequence[Candidate], generation: int | None, settings: RaceSettings) -> int:
    """How many of a generation must finish so that there are as many finalists as were asked for, by default 2.

    The last generation makes up for what earlier ones leave short, as far as it has candidates.
    """
    least = settings.finalists or 2
    earlier = {str(one.recipe) for one in candidates if one.in_race and one.scored and one.generation != generation}
    # How many later generations are drawn is known only without a budget.
    later = 0 if settings.candidates is None else settings.candidates - len(candidates)
    return max(1, least - len(earlier) - later)
