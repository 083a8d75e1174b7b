"""Drawing candidates from a space, and recording what became of them, with Optuna."""

import contextlib
import logging
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState

from lanewise.lanes.streams import stream_seed
from lanewise.parts.part import Variable, expression
from lanewise.ranges import Choice, Integer, Interval, Log
from lanewise.recipe import Recipe, choose
from lanewise.recipe_file import dump

STARTUP_TRIALS = 16
"""Candidates drawn at random before the sampler learns from the scores: the first generation of a default race."""


class Sampler:
    """Asks an Optuna study for whole generations of candidates and tells it how they ended.

    Args:
        space: a recipe with ranges.
        seed: the study's seed; each generation's sampler is seeded from (seed, generation).
        database: the SQLite file of the record, or None to keep it in memory.
    """

    def __init__(self, space: Recipe, seed: int, database: Path | None) -> None:
        self.space, self.seed = space, seed
        self._trials: list[Trial] = []
        with quiet():
            self._storage = sqlite_storage(database) if database else None
            self.study = optuna.create_study(study_name="race", storage=self._storage, direction="minimize")

    def ask(self, count: int, generation: int) -> list[Recipe]:
        """`count` recipes of the space; candidates are numbered on from those asked for before."""
        with quiet():
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
        return recipes

    def report(self, candidate: int, rung: int, loss: float) -> None:
        """Record the score of a candidate at a rung; NaN is left out."""
        if loss == loss:
            self._trials[candidate].report(loss, rung)

    def tell(self, candidate: int, loss: float | None, diverged: bool) -> None:
        """Record how a candidate ended: its final loss, or None if it left the race.

        One that diverged is recorded as pruned, without a value, and marked: of a failed trial the sampler would
        learn nothing, and draw such rates again.
        """
        trial = self._trials[candidate]
        with quiet():
            if diverged:
                trial.set_user_attr("diverged", True)
            if diverged or loss is None:
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, loss)

    def close(self) -> None:
        """Let go of the database, which is one whole file afterwards."""
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()


def sqlite_storage(database: Path) -> RDBStorage:
    """Optuna's storage in the SQLite file `database`, with a write-ahead log.

    By default every one of the many small writes waits for the disk: 48 candidates took 4 to 12 s, and with the log
    1.4. What was written survives a killed process in both.
    """

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(database, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return RDBStorage("sqlite://", engine_kwargs={"creator": connect})


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
