"""Candidates of one age, trained side by side in every repeat."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lanewise.errors import InputError, one_line
from lanewise.lanes.machine.memory import is_out_of_memory
from lanewise.lanes.packs.engine import Engine, Prepared
from lanewise.lanes.packs.feed import Chunk
from lanewise.lanes.packs.pack import Block, Pack, advance
from lanewise.lanes.packs.plan import Survivors
from lanewise.lanes.packs.trials import synchronise
from lanewise.lanes.step.numbers import cooled, tabulate_recipe
from lanewise.lanes.training.averaging import RUNG_ROWS, averaged_steps, cut, share_to_fall
from lanewise.lanes.training.checkpointer import Checkpointer
from lanewise.lanes.training.early_stopping import Lanes, Stopping, patience_of, resting
from lanewise.lanes.training.feedback import Plateaus
from lanewise.lanes.training.reestimation import reestimated, rows_to_take
from lanewise.lanes.training.scoring import ScoresByLane, contributions, evaluated_lane_rows, merged, scored
from lanewise.recipe.recipe import Recipe

T = TypeVar("T")


def evaluation_points(epochs: int) -> list[float]:
    """The progress at which a run of `epochs` epochs is evaluated: a learning curve's points; a plateau is told each.

    4, 8 or 16 points, evenly spread and no more than epochs if that can be, so that validation never costs much beside
    training.

    >>> evaluation_points(3), len(evaluation_points(20))
    ([0.25, 0.5, 0.75, 1.0], 16)
    """
    count = next(count for count in (16, 8, 4) if epochs >= count or count == 4)
    return [(point + 1) / count for point in range(count)]


@dataclass(frozen=True)
class Scores:
    """Of each candidate in each repeat, float64 [candidates, repeats]; NaN for lanes that left or diverged."""

    loss: np.ndarray
    metric: np.ndarray


@dataclass(eq=False)
class Group:
    """The lanes that share a structure: one pack for each repeat; `lane_rows` are evaluated by one call.

    `plateaus` and `stopping` hold, by repeat and candidate, what lanes do about how they are scored. `averaged` are the
    steps whose states are averaged, see `lanewise.lanes.training.averaging`.
    """

    prepared: Prepared
    packs: list[Pack]
    total_steps: int
    plateaus: list[dict[int, Plateaus]]
    stopping: list[dict[int, Stopping]]
    averaged: dict[int, int]
    lane_rows: int


Convoy = list[tuple[Group, list[Pack]]]
"""Groups that train on the same rows side by side, with those of their packs that have lanes in training."""


class Cohort:
    """Lanes of `recipes` in the repeats `repeats`, all starting at step 0.

    Args:
        engine: runs them. recipes: one for each candidate. repeats: indices of the study's repeats.
        runs_to_come: how many runs of this size are to be expected; compiling must pay over all of them.
        survivors: how the lanes will become fewer, see `lanewise.lanes.packs.plan.Survivors`.
        rungs: the progress at which `worth` will be asked for; those at which lanes are not evaluated are left out.

    Attributes:
        curves: (candidate, repeat position) -> list of (progress, training loss, validation loss, metric).
        checkpointer: asked between two chunks of steps whether the cohort is to be written down.
    """

    def __init__(
        self,
        engine: Engine,
        recipes: Sequence[Recipe],
        repeats: Sequence[int],
        runs_to_come: float = 1.0,
        survivors: Survivors = ((1.0, 1.0),),
        rungs: Sequence[float] = (),
    ) -> None:
        self.engine, self.recipes, self.repeats = engine, list(recipes), list(repeats)
        self.live = list(range(len(self.recipes)))
        self.curves: dict[tuple[int, int], list[tuple[float, float, float, float]]] = {}
        self.diverged: dict[tuple[int, int], int] = {}
        self.progress = 0.0
        self.checkpointer = Checkpointer()
        self.evaluation_points = evaluation_points(max(recipe.epochs for recipe in self.recipes))
        self.rungs = tuple(rung for rung in rungs if rung in self.evaluation_points)
        structures: dict[str, list[int]] = {}
        for candidate, recipe in enumerate(self.recipes):
            structures.setdefault(str(recipe.structure()), []).append(candidate)
        self.groups = [self._group(candidates, runs_to_come, survivors) for candidates in structures.values()]

    def _group(self, candidates: list[int], runs_to_come: float, survivors: Survivors) -> Group:
        engine, recipe = self.engine, self.recipes[candidates[0]]
        plain = engine.feed(recipe, self.repeats[0])
        total = recipe.epochs * plain.steps_per_epoch
        expected = int(total * len(candidates) * len(self.repeats) * runs_to_come)
        # Tables first: a number out of range is a user's mistake, to be found before anything is compiled.
        rows = len(engine.repeat(self.repeats[0]).split.train)
        tables = {c: tabulate_recipe(self.recipes[c], total, plain.steps_per_epoch, rows) for c in candidates}
        prepared = engine.prepare(recipe, self.repeats[0], len(candidates), len(self.repeats), expected, survivors)
        packs = []
        for index in self.repeats:
            start = prepared.step.initial_state(engine.new_model(index, recipe.width), index)
            feed = engine.feed(recipe, index, prepared.step, prepared.plan.channels_last)
            packs.append(Pack(feed, tables, start, prepared.plan.width, prepared.least))
        plateaus = [self._plateaus(candidates, total, plain.steps_per_epoch) for _ in self.repeats]
        patience = {c: patience_of(self.recipes[c], total, plain.steps_per_epoch) for c in candidates}
        stopping = [{c: Stopping(steps) for c, steps in patience.items() if steps is not None} for _ in self.repeats]
        averaged = averaged_steps(self.rungs, total)
        return Group(
            prepared, packs, total, plateaus, stopping, averaged, evaluated_lane_rows(prepared.step.holds_images)
        )

    def _plateaus(self, candidates: list[int], total_steps: int, steps_per_epoch: int) -> dict[int, Plateaus]:
        every = {c: Plateaus.of(self.recipes[c], total_steps, steps_per_epoch) for c in candidates}
        for candidate, plateaus in every.items():
            points = evaluation_points(self.recipes[candidate].epochs)
            measured = [round(point * total_steps) for point in points]
            for plateau in plateaus.idle(measured, total_steps):
                self.engine.note_once(
                    f"{plateau} never reduces anything: a run of {self.recipes[candidate].epochs} epoch(s) is measured "
                    f"{len(points)} times, and it takes {plateau.patience + 2} before the end, while it listens"
                )
        return {candidate: plateaus for candidate, plateaus in every.items() if plateaus.listening}

    def advance(self, progress: float) -> None:
        """Train all live lanes up to the fraction `progress` of their runs."""
        for together in self._together():
            target = round(progress * together[0].total_steps)
            convoy = [(group, [pack for pack in group.packs if pack.blocks]) for group in together]
            if convoy[0][1][0].step < target:
                self._with_memory(together[0], partial(self._train, convoy, target))
        self.progress = progress

    def _together(self) -> list[list[Group]]:
        """The groups with lanes in training; those that are given the same rows at the same steps stand together."""
        found: dict[tuple[int, ...], list[Group]] = {}
        for group in self.groups:
            packs = [pack for pack in group.packs if pack.blocks]
            if packs:
                key = (packs[0].feed.batch_size, group.total_steps, packs[0].step)
                found.setdefault(key, []).append(group)
        return list(found.values())

    def _with_memory(self, group: Group, work: Callable[[], T]) -> T:
        """What `work()` returns; where memory runs out it is done again with fewer lanes at a time.

        `group` is at work unless `_rounds` says that another is. Nothing is lost: the state of a block is replaced when
        a chunk of its steps is done, not before.
        """
        while True:
            try:
                self._at_work = group
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                group = self._at_work
                prepared = self.engine.narrowed(group.prepared)
                if prepared is None:
                    lanes = group.prepared.plan.width
                    raise InputError(
                        f"out of memory, with {lanes} lane(s) at a time: {one_line(error)[:200]}"
                    ) from error
            group.prepared, group.lane_rows = prepared, max(1, group.lane_rows // 2)
            for pack in group.packs:
                pack.narrow(prepared.plan.width, prepared.least)

    def _train(self, convoy: Convoy, target: int) -> None:
        begun = time.perf_counter()
        packs = [pack for _, packs in convoy for pack in packs]
        averaged = convoy[0][0].averaged

        def train(group: Group, block: Block, chunk: Chunk, start: int, stop: int) -> None:
            if not block.ahead:
                block.run(group.prepared.train, chunk, block.table[start:stop])

        def count_time() -> None:
            nonlocal begun
            synchronise(self.engine.device)
            self.engine.costs.train += time.perf_counter() - begun
            begun = time.perf_counter()

        def reached(step: int) -> None:
            nonlocal begun
            if step in averaged:
                for block in (block for pack in packs for block in pack.blocks):
                    block.take_in(averaged[step])
            for pack in packs:
                self._count(pack, step - pack.step)
                pack.step = step
                for block in pack.blocks:
                    block.ahead = 0
            if self.checkpointer.due():
                count_time()
                self.checkpointer.save()
                begun = time.perf_counter()

        self._rounds(convoy, packs[0].step, target, train, reached)
        count_time()

    def _rounds(
        self,
        convoy: Convoy,
        start: int,
        stop: int,
        job: Callable[..., None],
        reached: Callable[[int], None] = lambda step: None,
    ) -> None:
        """Call job(group, block, chunk, first, end) for every block, chunk by chunk, on the workers; then reached(end).

        All groups train on a chunk before the next, so that its rows are read once. The next one is made by the workers
        too, while they train on the present one.
        """
        spans = list(cut(convoy[0][1][0].feed.spans(start, stop), convoy[0][0].averaged))

        def fetch(group: Group, packs: list[Pack], span: tuple[int, int]) -> "list[Future[Chunk]]":
            return [group.prepared.workers.submit(pack.feed.chunk, *span) for pack in packs]

        def run(group: Group, packs: list[Pack], coming: "list[Future[Chunk]]", number: int) -> "list[Future[Chunk]]":
            self._at_work = group
            chunks = [future.result() for future in coming]
            after = fetch(group, packs, spans[number + 1]) if number + 1 < len(spans) else []
            with torch.random.fork_rng(devices=[], enabled=group.prepared.step.draws_itself):
                group.prepared.workers.run(
                    partial(job, group, block, chunk, *spans[number])
                    for pack, chunk in zip(packs, chunks, strict=True)
                    for block in pack.blocks
                )
            return after

        try:
            coming = [fetch(group, packs, spans[0]) for group, packs in convoy]
            for number, (_, end) in enumerate(spans):
                coming = [run(*each, futures, number) for each, futures in zip(convoy, coming, strict=True)]
                reached(end)
        finally:
            for _, packs in convoy:
                for pack in packs:
                    pack.feed.reading.release()

    def evaluate(self) -> Scores:
        """Score all live lanes on the validation rows of their repeat, and add a point to their curves.

        A lane with early stopping that has waited long enough, or is at its end, ends here: it gives up its place,
        gets no more points, and has from now on the scores of its best evaluation.
        """
        scores = self._empty()
        for group in self.groups:
            for at, pack in enumerate(group.packs):
                training = pack.mean_loss()
                self._with_memory(group, partial(self._score, group, pack, at, None, scores))
                for candidate in pack.candidates:
                    # The loss of a step is that before its update, so the last one may have ruined the lane unseen.
                    if np.isnan(scores.loss[candidate, at]):
                        pack.diverged.setdefault(candidate, pack.step)
                self.diverged |= {(c, self.repeats[at]): step for c, step in pack.diverged.items()}
                self._tell_plateaus(group, at, scores)
                for candidate in pack.candidates:
                    point = (training.get(candidate, np.nan), scores.loss[candidate, at], scores.metric[candidate, at])
                    self.curves.setdefault((candidate, self.repeats[at]), []).append((self.progress, *point))
                self._tell_stopping(group, at, scores)
        self._stand(scores)
        return scores

    def _tell_plateaus(self, group: Group, at: int, scores: Scores) -> None:
        pack, changed = group.packs[at], {}
        for candidate in set(pack.candidates) & group.plateaus[at].keys():
            if self.progress not in evaluation_points(self.recipes[candidate].epochs):
                continue
            heard = float(scores.loss[candidate, at]), float(scores.metric[candidate, at])
            table = group.plateaus[at][candidate].observe(pack.step, *heard, pack.tables[candidate])
            if table is not pack.tables[candidate]:
                changed[candidate] = table
        if changed:
            pack.replace_tables(changed)

    def _tell_stopping(self, group: Group, at: int, scores: Scores) -> None:
        pack, stopping = group.packs[at], group.stopping[at]
        ended = set()
        for candidate in [c for c in pack.candidates if c in stopping]:
            if self.progress in evaluation_points(self.recipes[candidate].epochs):
                measured = float(scores.loss[candidate, at]), float(scores.metric[candidate, at])
                stopping[candidate].hear(pack, candidate, *measured, last=self.progress >= 1)
                if stopping[candidate].ended:
                    ended.add(candidate)
        pack.keep(set(pack.candidates) - ended)

    def _stand(self, scores: Scores) -> None:
        """Put in the scores of the lanes that have ended: those of their best evaluation."""
        for group in self.groups:
            for at, stopping in enumerate(group.stopping):
                for candidate, lane in stopping.items():
                    if lane.ended:
                        scores.loss[candidate, at], scores.metric[candidate, at] = lane.heard.loss, lane.metric

    def worth(self, last: Scores) -> Scores:
        """What each live lane promises to be worth, at one of the `rungs`.

        A lane whose rate is still to fall to zero is scored by the mean of its states since `averaging.WINDOW` of the
        run before, with batch norm's statistics taken anew: like a falling rate, a mean takes out what the steps jump
        about. A lane whose rate stays will jump about at the end as well, so its score is its `last` evaluation's, here
        and now. In between they are mixed, see `averaging.share_to_fall`. The lanes themselves are left as they were;
        one that has ended counts as it stands.
        """
        scores = self._empty()
        for group in self.groups:
            for at, pack in enumerate(group.packs):
                self._with_memory(group, partial(self._score_means, group, pack, at, scores))
                for candidate in pack.candidates:
                    share = share_to_fall(pack.tables[candidate][:, group.prepared.step.rate_columns], pack.step)
                    for mine, now in ((scores.loss, last.loss), (scores.metric, last.metric)):
                        mine[candidate, at] = share * mine[candidate, at] + (1 - share) * now[candidate, at]
        self._stand(scores)
        return scores

    def _score_means(self, group: Group, pack: Pack, at: int, scores: Scores) -> None:
        self._score(group, pack, at, [block.mean or block.state for block in pack.blocks], scores, anew=True)

    def cool_down(self, share: float) -> Scores:
        """What each live lane would be worth if it stopped now.

        A copy of its state trains for `share` of its run on the batches that come next while the rate falls to zero,
        and is scored on the validation rows; the lanes themselves are left as they were. A lane that has ended counts
        as it stands.
        """
        scores = self._empty()
        for together in self._together():
            self._with_memory(together[0], partial(self._cool_down, together, share, scores))
        self._stand(scores)
        return scores

    def _cool_down(self, together: list[Group], share: float, scores: Scores) -> None:
        steps = max(1, round(share * together[0].total_steps))
        convoy = [(group, [pack for pack in group.packs if pack.blocks]) for group in together]
        begun, start = time.perf_counter(), convoy[0][1][0].step
        states: dict[int, list[Tensor]] = {}
        cold: dict[int, Tensor] = {}
        for group, packs in convoy:
            step = group.prepared.step
            for pack in packs:
                tables = {c: cooled(pack.tables[c], step.numbers, step.rates, start, steps) for c in pack.candidates}
                for block in pack.blocks:
                    states[id(block)] = block.state
                    cold[id(block)] = pack.table_of(block.candidates, tables)

        def train(group: Group, block: Block, chunk: Chunk, first: int, end: int) -> None:
            rows = cold[id(block)][first - start : end - start]
            states[id(block)], _ = advance(group.prepared.train, states[id(block)], chunk, rows)

        self._rounds(convoy, start, start + steps, train)
        synchronise(self.engine.device)
        self.engine.costs.train += time.perf_counter() - begun
        for group in together:
            self._at_work = group
            for at, pack in enumerate(group.packs):
                self._count(pack, steps)
                self._score(group, pack, at, [states[id(block)] for block in pack.blocks], scores)

    def _count(self, pack: Pack, steps: int) -> None:
        lane_steps = len(pack.candidates) * steps
        self.engine.costs.lane_steps += lane_steps
        self.engine.costs.lane_epochs += lane_steps / pack.feed.steps_per_epoch

    def keep(self, candidates: Iterable[int]) -> None:
        """Let all candidates but these leave, in every repeat."""
        staying = set(candidates)
        self.live = [candidate for candidate in self.live if candidate in staying]
        for group in self.groups:
            for pack in group.packs:
                pack.keep(staying)
            for stopping in group.stopping:
                for candidate in stopping.keys() - staying:
                    del stopping[candidate]

    def test_rows(self, candidates: Iterable[int]) -> dict[int, np.ndarray]:
        """The metric of every test row in every repeat, float64 [repeats, rows], for each candidate asked for."""
        asked = set(candidates)
        found: dict[int, list[np.ndarray]] = {candidate: [] for candidate in asked}
        for group in self.groups:
            for at, pack in enumerate(group.packs):
                if not asked & {*pack.candidates, *group.stopping[at]}:
                    continue
                every = torch.arange(len(pack.feed.repeat.held.test))
                losses, metric = self._with_memory(group, partial(self._final, group, at, asked, every, test=True))
                for candidate in asked & set(metric):
                    scores = metric[candidate]
                    if self.engine.task.objective.metric.fraction:
                        # What a diverged lane puts out may be right by chance.
                        scores = np.where(np.isfinite(losses[candidate]), scores, 0.0)
                    found[candidate].append(scores)
        return {candidate: np.stack(rows) for candidate, rows in found.items() if rows}

    def valid_rows(self, candidates: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The metric of every validation row in every repeat, for the live lanes of the candidates asked for.

        Returns:
            (metric [candidates, observations], repeat of each observation, counted from 0, its row of the pool); NaN
            for lanes that diverged or left. None where whole batches are scored, not rows.
        """
        if not self.engine.task.objective.by_row:
            return None
        valid = [self.engine.repeat(index).split.valid for index in self.repeats]
        ends = np.cumsum([0, *map(len, valid)])
        found = np.full((len(candidates), ends[-1]), np.nan)
        for group in self.groups:
            for at, pack in enumerate(group.packs):
                asked = set(candidates) & {*pack.candidates, *group.stopping[at]}
                if not asked:
                    continue
                losses, metric = self._with_memory(group, partial(self._final, group, at, asked, valid[at]))
                for place, candidate in enumerate(candidates):
                    if candidate in metric and np.isfinite(losses[candidate].mean()):
                        found[place, ends[at] : ends[at + 1]] = metric[candidate]
        repeat = np.repeat(np.arange(len(valid)), np.diff(ends))
        return found, repeat, torch.cat(list(valid)).numpy()

    def zeros(self) -> dict[int, float]:
        """Share of each live candidate's penalised weights that are exactly zero, the mean over repeats."""
        found: dict[int, list[float]] = {}
        for group in self.groups:
            step = group.prepared.step
            for at, pack in enumerate(group.packs):
                for block in [*_standing(pack), *resting(group.stopping[at], pack.width, pack.least)]:
                    counts = step.zeros(block.state)
                    for candidate, share in zip(block.candidates, counts.tolist(), strict=False):
                        found.setdefault(candidate, []).append(share)
        return {candidate: float(np.mean(shares)) for candidate, shares in found.items()}

    def _empty(self) -> Scores:
        shape = (len(self.recipes), len(self.repeats))
        return Scores(np.full(shape, np.nan), np.full(shape, np.nan))

    def _score(
        self,
        group: Group,
        pack: Pack,
        at: int,
        states: list[list[Tensor]] | None,
        scores: Scores,
        anew: bool = False,
    ) -> None:
        if not pack.blocks:
            return
        losses, metrics = self._rows(group, pack, _standing(pack, states), pack.feed.repeat.split.valid, anew=anew)
        for candidate in pack.candidates:
            loss = losses[candidate].mean()
            if np.isfinite(loss):
                scores.loss[candidate, at] = loss
                scores.metric[candidate, at] = metrics[candidate].mean()

    def _final(self, group: Group, at: int, asked: set[int], rows: Tensor, test: bool = False) -> ScoresByLane:
        """Scores of all lanes in training, and of those `asked` for that have ended, as they stand."""
        pack = group.packs[at]
        ended = resting(group.stopping[at], pack.width, pack.least, asked)
        return self._rows(group, pack, [*_standing(pack), *ended], rows, test)

    def _rows(
        self, group: Group, pack: Pack, blocks: list[Lanes], rows: Tensor, test: bool = False, anew: bool = False
    ) -> ScoresByLane:
        """Scores of `rows`; batch norm's statistics are taken `anew`, as they always are of averaged weights."""
        prepared = group.prepared
        if prepared.plan.packed and not prepared.step.holds_images:
            blocks = merged(blocks, len(rows), prepared.workers.count)
        if prepared.step.normed and (anew or prepared.step.averages):
            epochs = prepared.step.recipe.epochs
            taken = rows_to_take(epochs, len(pack.feed.repeat.split.train), len(evaluation_points(epochs)))
            taken = RUNG_ROWS if anew else taken
            blocks = reestimated(prepared.step, prepared.statistics, prepared.workers, pack.feed, blocks, taken)
        losses, scores = scored(prepared, pack.feed, blocks, rows, group.lane_rows, test)
        of_set = partial(contributions, prepared.step.objective.metric, pack.feed.repeat, rows, test)
        return losses, {candidate: of_set(losses[candidate], scores[candidate]) for candidate in losses}


def _standing(pack: Pack, states: list[list[Tensor]] | None = None) -> list[Lanes]:
    """The lanes in training as they stand, or with other `states` of their blocks."""
    states = [block.state for block in pack.blocks] if states is None else states
    row_at = max(0, pack.step - 1)
    blocks = zip(pack.blocks, states, strict=True)
    return [Lanes(block.candidates, state, block.table[row_at]) for block, state in blocks]
