"""Drawing candidates from a space, and recording what became of them, with Optuna."""

import contextlib
import logging
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from lanewise.errors import InputError, WriteError
from lanewise.lanes.streams import stream_seed
from lanewise.parts.part import Variable, expression
from lanewise.ranges import Choice, Integer, Interval, Log
from lanewise.recipe import Recipe, choose
from lanewise.recipe_file import dump

STARTUP_TRIALS = 16
"""Candidates drawn at random before the sampler learns from the scores: the first generation of a default race."""


Event = tuple[Any, ...]
"""("ask", count, generation), ("report", candidate, rung, loss) or ("tell", candidate, loss or None, diverged)."""


class Sampler:
    """Asks an Optuna study for whole generations of candidates and tells it how they ended.

    Args:
        space: a recipe with ranges.
        seed: the study's seed; each generation's sampler is seeded from (seed, generation).
        database: the SQLite file of the record, or None to keep it in memory.

    Attributes:
        journal: everything that was asked, reported and told, in order; `replayed` takes it.
        recipes: all that were drawn.

    Raises:
        WriteError: the database cannot be written to, here and in every method.
    """

    def __init__(self, space: Recipe, seed: int, database: Path | None) -> None:
        self.space, self.seed = space, seed
        self.journal: list[Event] = []
        self.recipes: list[Recipe] = []
        self._trials: list[Trial] = []
        self._database = Database(database) if database else None
        with quiet(), writing(database):
            storage = self._database.storage if self._database else None
            self.study = optuna.create_study(study_name="race", storage=storage, direction="minimize")

    @classmethod
    def replayed(
        cls, space: Recipe, seed: int, database: Path, journal: Sequence[Event], recorded: Sequence[str] = ()
    ) -> "Sampler":
        """The sampler that has been through `journal`, with a database to match instead of the one that is there.

        A killed study's database may be ahead of its last checkpoint. The new one is written beside and takes its place
        when it is whole, so that a kill in between leaves either.

        Raises:
            InputError: other recipes are drawn than `recorded`, the text of each; nothing has been changed then.
        """
        beside = database.with_name(f".{database.name}.partial")
        remove_database(beside)
        sampler = cls(space, seed, beside)
        calls: dict[str, Callable[..., Any]] = {"ask": sampler.ask, "report": sampler.report, "tell": sampler.tell}
        for what, *arguments in journal:
            calls[what](*arguments)
        sampler.close()
        if [dump(recipe) for recipe in sampler.recipes] != list(recorded):
            remove_database(beside)
            raise InputError(
                f"Optuna {optuna.__version__} draws other recipes than those recorded; install the version in run.json"
            )
        # SQLite would take the old log for that of the new file.
        remove_log(database)
        beside.replace(database)
        assert sampler._database is not None
        sampler._database.path = database
        return sampler

    def ask(self, count: int, generation: int) -> list[Recipe]:
        """`count` recipes of the space; candidates are numbered on from those asked for before."""
        self.journal.append(("ask", count, generation))
        with quiet(), self._writing():
            self.study.sampler = optuna.samplers.TPESampler(
                seed=stream_seed(self.seed, "sampler", generation) % 2**32,
                n_startup_trials=STARTUP_TRIALS,
                constant_liar=True,
            )
            recipes = []
            for _ in range(count):
                trial = self.study.ask()
                recipe = choose(self.space, lambda name, variable: suggest(trial, name, variable))  # noqa: B023
                trial.set_user_attr("recipe", dump(recipe))
                self._trials.append(trial)
                recipes.append(recipe)
        self.recipes += recipes
        return recipes

    def report(self, candidate: int, rung: int, loss: float) -> None:
        """Record the score of a candidate at a rung; NaN is left out."""
        self.journal.append(("report", candidate, rung, loss))
        if loss == loss:
            with self._writing():
                self._trials[candidate].report(loss, rung)

    def tell(self, candidate: int, loss: float | None, diverged: bool) -> None:
        """Record how a candidate ended: its final loss, or None if it left the race.

        One that diverged is recorded as pruned, without a value, and marked: of a failed trial the sampler would
        learn nothing, and draw such rates again.
        """
        self.journal.append(("tell", candidate, loss, bool(diverged)))
        trial = self._trials[candidate]
        with quiet(), self._writing():
            if diverged:
                trial.set_user_attr("diverged", True)
            if diverged or loss is None:
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, loss)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return writing(self._database.path if self._database else None)

    def close(self) -> None:
        """Let go of the database, which is one whole file afterwards."""
        if self._database is not None:
            self._database.close()


class Database:
    """Optuna's storage in the SQLite file `path`, with a write-ahead log; opened again where `path` is then.

    By default every one of the many small writes waits for the disk: 48 candidates took 4 to 12 s, and with the log
    1.4. What was written survives a killed process in both.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self.storage = RDBStorage("sqlite://", engine_kwargs={"creator": self._connect})

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.storage.remove_session()
        self.storage.engine.dispose()


def remove_log(database: Path) -> None:
    """Remove the write-ahead log that a killed process left beside `database`."""
    for end in ("-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)


def remove_database(database: Path) -> None:
    """Remove `database` and its log."""
    database.unlink(missing_ok=True)
    remove_log(database)


@contextlib.contextmanager
def writing(database: Path | None) -> Iterator[None]:
    """Turn what SQLite says when `database` cannot be written into a `WriteError`."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        deepest: BaseException = error
        while deepest.__cause__ is not None:
            deepest = deepest.__cause__
        text = getattr(deepest, "orig", None) or deepest
        raise WriteError(f"{database}: cannot be written: {' '.join(str(text).split())}") from None


def suggest(trial: Trial, name: str, variable: Variable) -> Any:
    """The value that `trial` takes for `variable`, known to Optuna as `name`."""
    if isinstance(variable, Choice):
        labels = [expression(option) for option in variable.options]
        return variable.options[labels.index(trial.suggest_categorical(name, labels))]
    if isinstance(variable, Integer):
        return trial.suggest_int(name, int(variable.low), int(variable.high))
    if isinstance(variable, Interval):
        return trial.suggest_float(name, variable.low, variable.high, log=isinstance(variable, Log))
    raise TypeError(f"no way to sample a {type(variable).__name__}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's log lines and its notes on experimental features out of the user's terminal."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def generation_sizes(candidates: int, generations: int) -> Sequence[int]:
    """`candidates` in `generations` parts as equal as can be, the larger ones first; no part is empty.

    >>> generation_sizes(32, 3), generation_sizes(2, 3)
    ([11, 11, 10], [1, 1])
    """
    parts = min(generations, candidates)
    return [candidates // parts + (part < candidates % parts) for part in range(parts)]
