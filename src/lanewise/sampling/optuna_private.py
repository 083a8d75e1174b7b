"""What Lanewise uses of Optuna that Optuna does not call public; `pyproject.toml` holds Optuna to one minor version.

| name | why it is used | what breaks when it changes |
|---|---|---|
| `_ParzenEstimator`, `_split_trials`, `default_gamma` | `GenerationTPE` sorts the finished trials once for a whole generation | the start: an import fails |
| `TPESampler._sample`, `_get_internal_repr` | `GenerationTPE` replaces them | drawing becomes slow, or other recipes are drawn; a test compares with `TPESampler` |
| `TPESampler._build_parzen_estimator`, `_compute_acquisition_func`, `_compare`, `_rng`, `_n_ei_candidates` | called by the two above | drawing fails at the first candidate after the random ones |
| `optuna.storages._rdb.models` | `StudyRecord` writes many trials in one transaction; the public calls take one for every number | writing `study.db` fails at the first candidate |

No other file names them, but for the methods in `tpe.py`; `tests/test_private_names.py` says so.
"""  # noqa: E501  # a table

from typing import Any

from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator as ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials as split_trials
from optuna.samplers._tpe.sampler import default_gamma

__all__ = ["ParzenEstimator", "default_gamma", "record_tables", "split_trials"]


def record_tables() -> Any:
    """The classes of the tables in which Optuna keeps a study. Importing them imports SQLAlchemy."""
    from optuna.storages._rdb import models

    return models
