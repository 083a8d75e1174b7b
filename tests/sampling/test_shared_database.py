"""A database that several processes and studies share: nobody is refused for being at it at the same time."""

import multiprocessing
from pathlib import Path

import optuna
import pytest

from lanewise.errors import InputError
from lanewise.sampling import optuna_storage as optuna_record
from lanewise.sampling.optuna_storage import StudyRecord, patiently
from lanewise.sampling.samplers import quiet


def open_and_write(url: str, name: str) -> None:
    """Runs in a process of its own."""
    record = StudyRecord(url, name)
    record.write([])
    record.close()


def test_processes_that_start_together_all_get_in(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=open_and_write, args=(url, f"run-{number}")) for number in range(4)]
    for one in others:
        one.start()
    for one in others:
        one.join()
    assert [one.exitcode for one in others] == [0] * 4
    with quiet():
        assert optuna.get_all_study_names(url) == [f"run-{number}" for number in range(4)] or sorted(
            optuna.get_all_study_names(url)
        ) == [f"run-{number}" for number in range(4)]


def test_it_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_record, "PATIENCE", 0.1)
    tried = []

    def busy() -> None:
        tried.append(1)
        raise InputError("storage: cannot be reached: database is locked")

    with pytest.raises(InputError, match="is locked"):
        patiently(busy)
    assert len(tried) > 1
    tried.clear()

    def wrong() -> None:
        tried.append(1)
        raise InputError("storage: cannot be reached: no such host")

    with pytest.raises(InputError, match="no such host"):
        patiently(wrong)
    assert len(tried) == 1


def test_trials_of_others_are_never_removed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    with quiet():
        study = optuna.create_study(storage=url, study_name="mine")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    record = StudyRecord(url, "mine")
    with pytest.raises(InputError, match="holds trials that Lanewise did not write"):
        record.write([], anew=True)
    record.close()
    with quiet():
        assert len(optuna.load_study(storage=url, study_name="mine").trials) == 2
