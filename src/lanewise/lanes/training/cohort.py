"""Candidates of one age, trained side by side in every repeat."""

import time
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.feed import Chunk
from lanewise.lanes.packs.pack import Block, Pack, advance
from lanewise.lanes.packs.plan import Survivors
from lanewise.lanes.packs.trials import synchronise
from lanewise.lanes.step.numbers import cooled, tabulate_recipe
from lanewise.lanes.training.averaging import averaged_steps, share_to_fall
from lanewise.lanes.training.early_stopping import Stopping, ended_lanes, patience_of
from lanewise.lanes.training.feedback import Plateaus
from lanewise.lanes.training.groups import Group, Scores, evaluation_points
from lanewise.lanes.training.row_scores import rows_of, standing
from lanewise.lanes.training.scoring import ScoresByLane, evaluated_lane_rows
from lanewise.lanes.training.side_by_side import Training
from lanewise.recipe.recipe import Recipe


class Cohort(Training):
    """Lanes of `recipes` in the repeats `repeats`, all starting at step 0.

    Args:
        engine: runs them. recipes: one for each candidate. repeats: indices of the study's repeats.
        runs_to_come: how many runs of this size are to be expected; compiling must pay over all of them.
        survivors: how the lanes will become fewer, see `lanewise.lanes.packs.plan.Survivors`.
        rungs: the progress at which `projected_scores` are taken; those without an evaluation are left out.

    Attributes:
        curves: (candidate, repeat position) -> list of (progress, training loss, validation loss, metric).
        checkpointer: decides between two chunks of steps whether to save the cohort.
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
        super().__init__(engine)
        self.recipes, self.repeats = list(recipes), list(repeats)
        self.live = list(range(len(self.recipes)))
        self.curves: dict[tuple[int, int], list[tuple[float, float, float, float]]] = {}
        self.diverged: dict[tuple[int, int], int] = {}
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
            start = prepared.step.initial_state(engine.new_model(index, **recipe.sizes), index)
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
                    f"{len(points)} times, and it takes {plateau.patience + 2} before the end, while it is active"
                )
        return {candidate: plateaus for candidate, plateaus in every.items() if plateaus.active}

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
            measured = float(scores.loss[candidate, at]), float(scores.metric[candidate, at])
            table = group.plateaus[at][candidate].observe(pack.step, *measured, pack.tables[candidate])
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
                stopping[candidate].observe(pack, candidate, *measured, last=self.progress >= 1)
                if stopping[candidate].ended:
                    ended.add(candidate)
        pack.keep(set(pack.candidates) - ended)

    def _stand(self, scores: Scores) -> None:
        """Put in the scores of the lanes that have ended: those of their best evaluation."""
        for group in self.groups:
            for at, stopping in enumerate(group.stopping):
                for candidate, lane in stopping.items():
                    if lane.ended:
                        scores.loss[candidate, at], scores.metric[candidate, at] = lane.seen.loss, lane.metric

    def projected_scores(self, last: Scores) -> Scores:
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
        """The metric of every test row in every repeat, float64 [repeats, rows], for each of `candidates`."""
        asked = set(candidates)
        found: dict[int, list[np.ndarray]] = {candidate: [] for candidate in asked}
        for group in self.groups:
            for at, pack in enumerate(group.packs):
                if not asked & {*pack.candidates, *group.stopping[at]}:
                    continue
                every = torch.arange(len(pack.feed.repeat.holdout.test))
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
                for block in [*standing(pack), *ended_lanes(group.stopping[at], pack.width, pack.least)]:
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
        losses, metrics = rows_of(group, pack, standing(pack, states), pack.feed.repeat.split.valid, anew=anew)
        for candidate in pack.candidates:
            loss = losses[candidate].mean()
            if np.isfinite(loss):
                scores.loss[candidate, at] = loss
                scores.metric[candidate, at] = metrics[candidate].mean()

    def _final(self, group: Group, at: int, asked: set[int], rows: Tensor, test: bool = False) -> ScoresByLane:
        """Scores of all lanes in training, and of those `asked` for that have ended, as they stand."""
        pack = group.packs[at]
        ended = ended_lanes(group.stopping[at], pack.width, pack.least, asked)
        return rows_of(group, pack, [*standing(pack), *ended], rows, test)
