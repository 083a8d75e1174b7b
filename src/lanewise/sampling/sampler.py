"""Drawing candidates from a space, and recording what became of them, with Optuna."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.trial import Trial, TrialState

from lanewise.errors import InputError, a_type
from lanewise.parts.part import Variable, expression
from lanewise.recipe.file import dump, load
from lanewise.recipe.ranges import Choice, Integer, Log, NumberRange
from lanewise.recipe.recipe import Recipe, choose, parameters_of, variables
from lanewise.recipe.structures import Structure
from lanewise.sampling.combinations import NOWHERE, Combinations, Standing
from lanewise.sampling.samplers import OwnSampler, grid, quiet, sampler_for

OUTSIDE = "outside_space"
"""User attribute of a trial whose recipe was added by hand and cannot be drawn from the space."""

Event = tuple[Any, ...]
"""("enqueue", text, name), ("ask", count, generation), ("report", candidate, rung, loss) or ("tell", candidate, loss or
None, diverged)."""


class Shared(NamedTuple):
    """A study called `name` in the database at `url`, where there may be others."""

    url: str
    name: str


class Sampler:
    """Draws whole generations of candidates from an Optuna study and reports their results to it.

    The study is in memory, which makes asking fast; `write` copies it to the record.

    Args:
        space: a recipe with ranges.
        seed: the study's seed; each generation's sampler is seeded from (seed, generation).
        record: the SQLite file of the record, a study in a shared database, or None for no record.
        kind: a name in `lanewise.sampling.samplers.SAMPLERS`. own: a sampler of the user's own instead.

    Attributes:
        journal: everything that was asked, reported and told, in order; `replayed` takes it.
        recipes: all that were drawn. texts: the same as YAML. names: of those that have one, else empty text.

    Raises:
        WriteError: the record cannot be written to, here and in `write`, `ask` and `close`.
    """

    def __init__(
        self,
        space: Recipe,
        seed: int,
        record: Path | Shared | None = None,
        kind: str = "tpe",
        own: OwnSampler | None = None,
    ) -> None:
        self.space, self.seed, self.kind, self.own = space, seed, kind, own
        self.journal: list[Event] = []
        self.recipes: list[Recipe] = []
        self.texts: list[str] = []
        self.names: list[str] = []
        self.combinations = Combinations(space, seed)
        self._bounded = self.combinations.bounded and kind != "grid" and own is None
        self._standings: list[Standing] = []
        self._trials: list[Trial] = []
        self._outside: set[int] = set()
        self._changed: set[int] = set()
        self._enqueued: list[tuple[Recipe, str]] = []
        self._grid = iter(grid(space, seed) if kind == "grid" else [])
        with quiet():
            self.study = optuna.create_study(study_name="race", direction="minimize")
        self._record: Any = None
        if record is not None:
            # SQLAlchemy takes a third of a second to import, and only a record needs it.
            from lanewise.sampling.optuna_storage import StudyRecord

            self._record = StudyRecord(*record) if isinstance(record, Shared) else StudyRecord(record)

    @classmethod
    def replayed(
        cls,
        space: Recipe,
        seed: int,
        record: Path | Shared,
        journal: Sequence[Event],
        recorded: Sequence[str] = (),
        **how: Any,
    ) -> "Sampler":
        """The sampler that has been through `journal`, with a record to match instead of the one that is there.

        A killed study's record may be ahead of its last checkpoint or behind it. A new file is written beside and takes
        the place of the old one when it is whole; in a shared database the study's own trials are replaced in one
        transaction. So a kill in between leaves either.

        Args:
            how: `kind` and `own`.

        Raises:
            InputError: other recipes are drawn than `recorded`, the text of each; nothing has been changed then.
        """
        sampler = cls(space, seed, None, **how)
        calls: dict[str, Callable[..., Any]] = {
            "ask": sampler.ask,
            "report": sampler.report,
            "tell": sampler.tell,
            "enqueue": lambda text, name: sampler.enqueue(load(text)[0], name),
        }
        for what, *arguments in journal:
            calls[what](*arguments)
        if sampler.texts != list(recorded):
            raise InputError(
                f"Optuna {optuna.__version__} draws other recipes than those recorded; install the version that "
                "run.json names, or undo what was changed in its space or seed"
                if sampler.own is None
                else "the sampler draws other recipes than those recorded; give the one that the race began with, "
                "as it was then"
            )
        from lanewise.sampling.optuna_storage import StudyRecord, remove_database, remove_log

        trials = sampler.study.get_trials(deepcopy=False)
        if isinstance(record, Shared):
            sampler._record = StudyRecord(*record)
            sampler._record.write(trials, anew=True)
        else:
            beside = record.with_name(f".{record.name}.partial")
            remove_database(beside)
            sampler._record = StudyRecord(beside)
            sampler._record.write(trials)
            sampler._record.close()
            # SQLite would take the old log for that of the new file.
            remove_log(record)
            beside.replace(record)
            sampler._record.path = record
        sampler._changed.clear()
        return sampler

    def enqueue(self, recipe: Recipe, name: str = "") -> None:
        """Let `recipe`, added by hand, be the next candidate that is asked for, after those enqueued before.

        Those with a `name`, of the portfolio, are half of a generation at the most; the others follow in the next.

        One that could be drawn from the space becomes a trial with its parameters, from which the sampler learns. Any
        other is a trial with the attribute `OUTSIDE`, which samplers pass over as failed.
        """
        self.journal.append(("enqueue", dump(recipe), name))
        self._enqueued.append((recipe, name))

    def ask(self, count: int, generation: int) -> list[Recipe]:
        """`count` recipes: those enqueued, then of the space; candidates are numbered on from those asked before."""
        self.journal.append(("ask", count, generation))
        first = len(self.recipes)
        with quiet():
            self.study.sampler = sampler_for(self.kind, self.space, self.seed, generation, count, self.own)
            given = self._taken(count)
            fixed = self._fixed(range(first + len(given), first + count), count)
            for number in range(first, first + count):
                enqueued, name = given.pop(0) if given else (None, "")
                recipe = self._enqueued_trial(enqueued) if enqueued else self._drawn_trial(next(fixed, None))
                text = dump(recipe)
                if name:
                    self._trials[number].set_user_attr("name", name)
                self.names.append(name)
                self._standings.append(NOWHERE)
                self._trials[number].set_user_attr("recipe", text)
                self.recipes.append(recipe)
                self.texts.append(text)
        self._changed.update(range(first, first + count))
        self.write()
        return self.recipes[first:]

    def _taken(self, count: int) -> list[tuple[Recipe, str]]:
        """Those enqueued that are of a generation of `count`: of those with names half at the most."""
        room, taken, left = (count + 1) // 2, list[tuple[Recipe, str]](), list[tuple[Recipe, str]]()
        for recipe, name in self._enqueued:
            fits = len(taken) < count and (not name or room > 0)
            room -= bool(name)
            (taken if fits else left).append((recipe, name))
        self._enqueued = left
        return taken

    def _fixed(self, numbers: Sequence[int], size: int) -> Iterator[Structure]:
        """What the candidates `numbers` of a generation of `size` must be, by name; nothing where all is free."""
        if self._bounded and numbers:
            return iter(self.combinations.assigned(numbers, size, self._standings))
        return self._grid

    def _drawn_trial(self, fixed: dict[str, Any] | None) -> Recipe:
        """A new trial, and the recipe it draws from the space; `fixed` says by name what it must be."""
        if fixed is not None:
            choices = {name for name, variable in variables(self.space) if isinstance(variable, Choice)}
            self.study.enqueue_trial({k: expression(v) if k in choices else v for k, v in fixed.items()})
        trial = self.study.ask()
        self._trials.append(trial)
        return choose(self.space, lambda name, variable: suggest(trial, name, variable))

    def _enqueued_trial(self, recipe: Recipe) -> Recipe:
        fixed = parameters_of(self.space, recipe)
        if fixed is None:
            trial = self.study.ask()
            trial.set_user_attr(OUTSIDE, True)
            self._outside.add(len(self._trials))
            self._trials.append(trial)
        else:
            self._drawn_trial(fixed)
            self._trials[-1].set_user_attr("enqueued", True)
        return recipe

    def report(self, candidate: int, rung: int, loss: float) -> None:
        """Note the score of a candidate at a rung; NaN is left out."""
        self.journal.append(("report", candidate, rung, loss))
        if loss == loss:
            self._trials[candidate].report(loss, rung)
            self._changed.add(candidate)
            self._standings[candidate] = (1, -rung, loss)

    def tell(self, candidate: int, loss: float | None, diverged: bool) -> None:
        """Note how a candidate ended: its final loss, or None if it left the race.

        One that diverged is recorded as pruned, without a value, and marked: of a failed trial the sampler would
        learn nothing, and draw such rates again.
        """
        self.journal.append(("tell", candidate, loss, bool(diverged)))
        trial = self._trials[candidate]
        self._changed.add(candidate)
        if diverged:
            self._standings[candidate] = NOWHERE
        elif loss is not None:
            self._standings[candidate] = (0, 0, loss)
        with quiet():
            if diverged:
                trial.set_user_attr("diverged", True)
            if candidate in self._outside:
                if loss is not None:
                    trial.set_user_attr("loss", loss)
                self.study.tell(trial, state=TrialState.FAIL)
            elif diverged or loss is None:
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, loss)

    def write(self) -> None:
        """Bring the record up to date."""
        if self._record is not None and self._changed:
            trials = self.study.get_trials(deepcopy=False)
            self._record.write([trials[number] for number in sorted(self._changed)])
        self._changed.clear()

    def close(self) -> None:
        """Let go of the record; a file is one whole file afterwards."""
        if self._record is not None:
            self._record.close()


def suggest(trial: Trial, name: str, variable: Variable) -> Any:
    """The value that `trial` takes for `variable`, known to Optuna as `name`."""
    if isinstance(variable, Choice):
        labels = [expression(option) for option in variable.options]
        return variable.options[labels.index(trial.suggest_categorical(name, labels))]
    if isinstance(variable, Integer):
        return trial.suggest_int(name, int(variable.low), int(variable.high))
    if isinstance(variable, NumberRange):
        return trial.suggest_float(name, variable.low, variable.high, log=isinstance(variable, Log))
    raise TypeError(f"no way to sample {a_type(variable)}")


def generation_sizes(candidates: int, generations: int) -> Sequence[int]:
    """`candidates` in `generations` parts as equal as can be, the larger ones first; no part is empty.

    >>> generation_sizes(32, 3), generation_sizes(2, 3)
    ([11, 11, 10], [1, 1])
    """
    parts = min(generations, candidates)
    return [candidates // parts + (part < candidates % parts) for part in range(parts)]
