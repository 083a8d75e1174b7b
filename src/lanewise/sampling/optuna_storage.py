"""The record that Optuna and its dashboard read: a study in a run's own SQLite file, or in a database that is shared.

Candidates are drawn in memory, and what has become of them is copied here in few transactions. Optuna's own way, a
transaction for every number drawn and a query for every question, took 20 times as long as the drawing of 256
candidates itself.
"""

import contextlib
import itertools
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from lanewise.errors import InputError, WriteError
from lanewise.sampling.database_url import EXAMPLES, DatabaseURL
from lanewise.sampling.optuna_private import record_tables
from lanewise.sampling.samplers import quiet

models = record_tables()

OWN_NAME = "race"
"""Of the study in a run's own file; in a shared database every run has another."""


PACKAGES = {"psycopg": "'lanewise[postgresql]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""What to install for a driver whose package is not called like its module."""

PATIENCE = 30.0
"""Seconds for which a database that is busy is tried again."""
BUSY = ("already exists", "is locked", "UNIQUE constraint failed", "duplicate key", "deadlock", "Deadlock")
"""What databases say where two processes make the tables, or write, at the same time."""
Done = TypeVar("Done")


@dataclass(frozen=True)
class Written:
    """What the database holds of a trial beside its parameters, which never change."""

    trial_id: int
    steps: frozenset[int] = frozenset()
    attributes: frozenset[str] = frozenset()
    value: bool = False


class StudyRecord:
    """A study in a database, to which trials are copied.

    Args:
        where: an SQLite file, or the URL of a database that is shared. `path` of a file may be set anew when it has
            been moved and `close` was called before. A file has a write-ahead log: a dashboard can read while the race
            writes, and what was written survives a killed process.
        name: of the study. A study of that name in a shared database is gone on with.

    Raises:
        WriteError: the file cannot be written to, here and in every method.
        InputError: the URL is none, its driver is missing, or the database cannot be reached.
    """

    def __init__(self, where: Path | str, name: str = OWN_NAME) -> None:
        self.path = where if isinstance(where, Path) else None
        self._url = None if isinstance(where, Path) else DatabaseURL.of(where)
        self.shown = str(where) if self._url is None else self._url.shown
        self._written: dict[int, Written] = {}
        if self._url is None:
            with self._writing():
                self.storage = RDBStorage("sqlite://", engine_kwargs={"creator": self._connect})
        else:
            url = self._url
            self.storage = patiently(lambda: opened(url))
        with self._writing(), quiet():
            self.study_id = patiently(lambda: self._study_called(name))

    def _study_called(self, name: str) -> int:
        """The number of the study, made where it is not there yet."""
        try:
            return self.storage.create_new_study([StudyDirection.MINIMIZE], name)
        except optuna.exceptions.DuplicatedStudyError:
            return self.storage.get_study_id_from_name(name)

    def _connect(self) -> sqlite3.Connection:
        assert self.path is not None
        connection = sqlite3.connect(self.path, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def write(self, trials: Sequence[FrozenTrial], anew: bool = False) -> None:
        """Copy what is new of `trials`, all of it or nothing.

        Args:
            anew: remove all that the study holds before.

        Raises:
            InputError: what is to be removed was not written by Lanewise.
        """
        patiently(lambda: self._write(trials, anew))

    def _write(self, trials: Sequence[FrozenTrial], anew: bool) -> None:
        written = {} if anew else dict(self._written)
        with self._writing(), Session(self.storage.engine) as session, session.begin():
            if anew:
                self._empty(session)
            new = [trial for trial in trials if trial.number not in written]
            rows = [self._row(trial) for trial in new]
            session.add_all(rows)
            session.flush()
            written |= {trial.number: Written(row.trial_id) for trial, row in zip(new, rows, strict=True)}
            self._change(session, {written[t.number].trial_id: t for t in trials if t.number in self._written})
            for model, found in additions(trials, {trial.number for trial in new}, written).items():
                if found:
                    session.execute(insert(model), found)
        for trial in trials:
            written[trial.number] = replace(
                written[trial.number],
                steps=frozenset(trial.intermediate_values),
                attributes=frozenset(trial.user_attrs),
                value=trial.value is not None,
            )
        self._written = written

    def _row(self, trial: FrozenTrial) -> Any:
        times = {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
        return models.TrialModel(study_id=self.study_id, number=trial.number, state=trial.state, **times)

    def _change(self, session: Session, trials: dict[int, FrozenTrial]) -> None:
        """The state of trials that are there already, by their id."""
        for row in session.scalars(select(models.TrialModel).where(models.TrialModel.trial_id.in_(trials))):
            trial = trials[int(row.trial_id)]
            row.state, row.datetime_complete = trial.state, trial.datetime_complete

    def _empty(self, session: Session) -> None:
        """Remove the study's trials, and nothing of another study."""
        own = select(models.TrialModel.trial_id).where(models.TrialModel.study_id == self.study_id)
        attribute = models.TrialUserAttributeModel
        marked = select(attribute.trial_id).where(attribute.key == "recipe")
        if session.scalars(own.where(models.TrialModel.trial_id.not_in(marked)).limit(1)).first() is not None:
            raise InputError(
                f"{self.path or self.shown}: the study on record there holds trials that Lanewise did not write; they "
                "are left as they are"
            )
        apart = {"synchronize_session": False}
        for mapper in models.BaseModel.registry.mappers:
            if "trial_id" in mapper.columns and mapper.class_ is not models.TrialModel:
                session.execute(delete(mapper.class_).where(mapper.class_.trial_id.in_(own)), execution_options=apart)
        everything = delete(models.TrialModel).where(models.TrialModel.study_id == self.study_id)
        session.execute(everything, execution_options=apart)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the database says when it cannot be written into a `WriteError`."""
        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
            said = deepest(error) if self._url is None else self._url.scrubbed(deepest(error))
            raise WriteError(f"{self.path or self.shown}: cannot be written: {said}") from None

    def close(self) -> None:
        """Close all connections, after which a file is one whole file; the next use opens new ones."""
        self.storage.remove_session()
        self.storage.engine.dispose()


def additions(trials: Sequence[FrozenTrial], new: set[int], written: dict[int, Written]) -> dict[Any, list[Any]]:
    """The rows by table that are not there yet; those of the trials `new` hold their parameters too."""
    found: dict[Any, list[Any]] = {
        models.TrialParamModel: [],
        models.TrialValueModel: [],
        models.TrialIntermediateValueModel: [],
        models.TrialUserAttributeModel: [],
    }
    texts = dict[Any, str]()
    for trial in trials:
        there = written[trial.number]
        own = {"trial_id": there.trial_id}
        for name, value in trial.params.items() if trial.number in new else ():
            kind = trial.distributions[name]
            text = texts.setdefault((name, kind), "") or distribution_to_json(kind)
            texts[name, kind] = text
            row = {"param_name": name, "param_value": kind.to_internal_repr(value), "distribution_json": text}
            found[models.TrialParamModel].append(own | row)
        if trial.value is not None and not there.value:
            value, kind_of = models.TrialValueModel.value_to_stored_repr(trial.value)
            found[models.TrialValueModel].append(own | {"objective": 0, "value": value, "value_type": kind_of})
        for step in trial.intermediate_values.keys() - there.steps:
            model = models.TrialIntermediateValueModel
            score, kind_of_score = model.intermediate_value_to_stored_repr(trial.intermediate_values[step])
            row = {"step": step, "intermediate_value": score, "intermediate_value_type": kind_of_score}
            found[model].append(own | row)
        for key in sorted(trial.user_attrs.keys() - there.attributes):
            row = {"key": key, "value_json": json.dumps(trial.user_attrs[key])}
            found[models.TrialUserAttributeModel].append(own | row)
    return found


def patiently(action: Callable[[], Done]) -> Done:
    """What `action` gives, tried again for a while where other processes use the same database at the same time."""
    until = time.monotonic() + PATIENCE
    for pause in itertools.count(1):
        try:
            return action()
        except (InputError, optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
            chain: BaseException | None = error
            text = ""
            while chain is not None:
                text, chain = f"{text} {chain}", chain.__cause__ or chain.__context__
            if not any(sign in text for sign in BUSY) or time.monotonic() > until:
                raise
        time.sleep(min(1.0, 0.05 * pause) * random.SystemRandom().uniform(0.5, 1.5))
    raise AssertionError("it is tried until there is a result or an error")


def opened(url: DatabaseURL) -> RDBStorage:
    """The database at `url`, with Optuna's tables in it."""
    where = f"storage = {url.shown!r}"
    try:
        with quiet():
            return RDBStorage(url.text)
    except ImportError as error:
        # What Optuna raises is another one, with the driver's own behind it.
        name = getattr(error.__cause__ or error, "name", None) or "its driver"
        package = PACKAGES.get(name, name)
        raise InputError(f"{where}: needs the package {name}, which is not installed: pip install {package}") from None
    except NoSuchModuleError as error:
        said = url.scrubbed(deepest(error))
        raise InputError(
            f"{where}: must be a database such as {EXAMPLES}: there is no driver by this name: {said}"
        ) from None
    except SQLAlchemyError as error:
        raise InputError(f"{where}: cannot be reached: {url.scrubbed(deepest(error))}") from None
    except (optuna.exceptions.StorageInternalError, RuntimeError) as error:
        raise InputError(f"{where}: cannot be used: {url.scrubbed(deepest(error))}") from None


def deepest(error: BaseException) -> str:
    """What the database itself says, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(getattr(error, "orig", None) or error).split())


def remove_log(database: Path) -> None:
    """Remove the write-ahead log that a killed process left beside `database`."""
    for end in ("-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)


def remove_database(database: Path) -> None:
    """Remove `database` and its log."""
    database.unlink(missing_ok=True)
    remove_log(database)
