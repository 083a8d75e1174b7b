"""What simple models score on the same rows as recipes: a constant guess, a linear model, gradient-boosted trees."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lanewise.data.source.standardise import keeps_type
from lanewise.errors import one_line
from lanewise.lanes.packs.engine import Engine
from lanewise.lanes.packs.repeat import Repeat
from lanewise.lanes.training.scoring import LEAST_BATCHES
from lanewise.metrics import quantile_level
from lanewise.statistics.score_kind import ScoreKind
from lanewise.task.objectives import Classification, NextToken, Objective, Regression

MAJORITY, TOKEN, MEAN, MEDIAN, QUANTILE = "majority class", "majority token", "mean", "median", "quantile"
LINEAR, TREES = "linear model", "gradient-boosted trees"
MOST_REPEATS = 3
"""Of the confirmation, in which models are fitted; a constant guess is scored in all."""
MOST_ROWS, FEWEST_ROWS = 5_000, 200
MOST_READ = 1_000
"""Rows to fit on where they are not in memory: one run of them is read, at the planner of the user's dataset."""
MOST_PRODUCTS = 20_000_000
"""Rows times features times classes of one fit: a second or two of one processor."""
MOST_FEATURES, MOST_TABLE, MOST_COLUMNS = 4_096, 100, 10
"""Inputs of a linear model, inputs of trees, and classes or numbers that trees learn."""
ITERATIONS = 100
PART = 1024
"""Rows that are predicted at a time."""
BLOCK = 4_000_000
"""Numbers that outputs for tokens may hold at a time."""
LEAST_CHANCE = 1e-12
"""Of a class that a model has not seen."""

Guess = Callable[[np.ndarray], Tensor]
"""What a fitted model makes of inputs [rows, features]: outputs as lanes give them."""


@dataclass(frozen=True)
class References:
    """What simple models score.

    Attributes:
        scores: name -> the metric, not negated, on those rows, the mean over repeats. notes: what was left
            out or cut short, a sentence each.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def references_of(engine: Engine, repeats: Sequence[int], test: bool = True) -> References:
    """The references of recipes that were trained in `repeats`: on the test rows, or on those that each validates on.

    Models are fitted on the training rows of each.
    """
    objective, classes = engine.task.objective, engine.task.source.classes
    if not isinstance(objective, (Classification, Regression, NextToken)):
        return References(notes=("There is no simple model to compare with, because the objective is your own.",))
    notes: list[str] = []
    scores: dict[str, float] = {}
    runs = [engine.repeat(index) for index in repeats]
    few = runs[: MOST_REPEATS if engine.holdout.pool.in_memory else 1]
    name = {NextToken: TOKEN, Classification: MAJORITY}.get(type(objective)) or name_of_constant(objective)
    _scored(name, [partial(constant_score, run, objective, classes, test) for run in runs], scores, notes)
    models, why = models_for(engine, objective)
    for name, fit in models.items():
        _scored(name, [partial(fit_score, run, objective, classes, fit, test) for run in few], scores, notes)
    notes += [why] if why else []
    if models and scores.keys() & models.keys():
        notes += cut_short([name for name in models if name in scores], runs, len(few), *rows_to_fit(runs[0], classes))
    return References(scores, tuple(notes))


def _scored(name: str, jobs: list[Callable[[], float]], scores: dict[str, float], notes: list[str]) -> None:
    """Put the mean of what `jobs` return under `name`; where one fails, a note says so."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = float(np.mean([job() for job in jobs]))
    # Whatever scikit-learn or a metric of the user's raises: the race has its winner all the same.
    except Exception as error:
        notes.append(f"The {name} could not be fitted or scored: {one_line(error)[:200]}.")
        return
    if np.isfinite(found):
        scores[name] = found
    else:
        notes.append(f"The {name} has no finite score.")


def cut_short(names: list[str], runs: Sequence[Repeat], few: int, rows: int, of: int) -> list[str]:
    """A sentence on what the models `names` were not fitted on, if there is such."""
    cut = [f"in {few} of the {len(runs)} training runs"] * (few < len(runs))
    cut += [f"on {rows:,} of the {of:,} training examples"] * (rows < of)
    if not cut:
        return []
    verb = "was" if names == [LINEAR] else "were"
    return [f"To save time, the {' and the '.join(names)} {verb} fitted {', '.join(cut)}."]


def name_of_constant(objective: Objective) -> str:
    """Which constant minimises the metric of numbers."""
    if quantile_level(objective.metric) is not None:
        return QUANTILE
    return MEDIAN if objective.metric.name in ("MAE", "absolute error", "mean absolute error", "MAPE") else MEAN


def scored_rows(run: Repeat, test: bool) -> Tensor:
    """The rows that are scored: all test rows, or those of the pool that `run` validates on."""
    return torch.arange(len(run.holdout.test)) if test else run.split.valid


def constant_score(run: Repeat, objective: Objective, classes: int | None, test: bool = True) -> float:
    """The score on the test or the validation rows of the best constant of the training rows."""
    train, targets = run.targets(run.split.train), run.targets(scored_rows(run, test), test=test)
    assert train is not None
    assert targets is not None
    if isinstance(objective, NextToken):
        return token_score(train, targets, objective)
    if classes is not None:
        counts = torch.bincount(train, minlength=classes).double()
        # As sure as the classes are frequent, so that the log loss is the best that a constant has.
        outputs = (counts / counts.sum()).clamp(min=LEAST_CHANCE).log().expand(len(targets), -1)
        return score_of(run, objective, outputs, targets)
    assert run.target_scale is not None
    scaled, level = run.target_scale.apply(train, torch.float64), quantile_level(objective.metric)
    name = name_of_constant(objective)
    guess = scaled.mean(0) if name == MEAN else scaled.quantile(0.5 if level is None else level, dim=0)
    return score_of(run, objective, guess.expand(targets.shape), targets)


def token_score(train: Tensor, test: Tensor, objective: Objective) -> float:
    """The score of the frequencies of the training tokens as the outputs for every token."""
    size = int(max(train.max(), test.max())) + 1
    counts = torch.bincount(train[train >= 0], minlength=size).double() + 1
    log_p = (counts / counts.sum()).log()
    size = max(1, BLOCK // (test[0].numel() * size))
    parts = [objective.metric.function(log_p.expand(*part.shape, -1), part) for part in torch.split(test, size)]
    return float(torch.cat([part.reshape(-1).double() for part in parts]).mean())


def score_of(run: Repeat, objective: Objective, outputs: Tensor, test: Tensor) -> float:
    """The metric of `outputs`, as a lane gives them, over all rows that are scored, not negated.

    Args:
        test: their targets as stored.
    """
    metric = objective.metric
    targets = test if run.target_scale is None else run.target_scale.apply(test, torch.float64)
    outputs = objective.fitted(outputs.double(), targets)
    parts = 1 if objective.by_row else min(len(test), LEAST_BATCHES)
    pairs = zip(torch.tensor_split(outputs, parts), torch.tensor_split(targets, parts), strict=True)
    scores = np.concatenate([np.atleast_1d(metric.function(*pair).double().numpy()) for pair in pairs])
    if metric.of_set is None:
        return float(scores.mean())
    return float(ScoreKind.of(metric).turned(metric.contributions(scores, test, run.unit).mean()))


def models_for(engine: Engine, objective: Objective) -> tuple[dict[str, Callable[..., Guess]], str | None]:
    """The models to fit by name, and why there are none or fewer, if so."""
    source = engine.task.source
    alone = source.sample
    if not isinstance(alone, Tensor) or keeps_type(alone, source.standardise, True):
        return {}, "A linear model was not fitted, because the inputs are not one array of measurements."
    if isinstance(objective, NextToken):
        return {}, None
    features, columns = max(1, alone[0].numel()), max(source.classes or 0, target_columns(engine))
    if features > MOST_FEATURES or features * columns * FEWEST_ROWS > MOST_PRODUCTS:
        return {}, f"A linear model was not fitted: {features:,} inputs and {columns:,} outputs are too many."
    fitted: dict[str, Callable[..., Guess]] = {LINEAR: linear}
    # Of one axis of features, few enough that they are a table, wherever they come from.
    if alone.ndim == 2 and features <= MOST_TABLE and columns <= MOST_COLUMNS:
        fitted[TREES] = trees
        return fitted, None
    if source.feature_names is None:
        return fitted, None
    size = f"{features:,} inputs and {columns:,} output(s)"
    return fitted, f"Gradient-boosted trees were not fitted: {size} take too long."


def target_columns(engine: Engine) -> int:
    """Numbers that a row has as its target."""
    y = engine.repeat(0).targets(torch.tensor([0]))
    return 1 if y is None else y[0].numel()


def rows_to_fit(run: Repeat, classes: int | None) -> tuple[int, int]:
    """(training rows that models are fitted on, of how many)."""
    train = run.split.train
    x, y = run.holdout.pool.take(train[:1])
    assert isinstance(x, Tensor)
    assert y is not None
    size = x[0].numel() * (classes or y[0].numel())
    most = MOST_ROWS if run.holdout.pool.in_memory else MOST_READ
    return min(len(train), most, max(FEWEST_ROWS, MOST_PRODUCTS // max(1, size))), len(train)


def fit_score(
    run: Repeat, objective: Objective, classes: int | None, fit: Callable[..., Guess], test: bool = True
) -> float:
    """The score of a model fitted on the training rows, or on as many evenly spaced ones; `test`: see `scored_rows`."""
    rows, of = rows_to_fit(run, classes)
    cpu = torch.device("cpu")
    at = run.split.train[torch.linspace(0, of - 1, rows, dtype=torch.float64).round().long()]
    x, y = run.rows(at, torch.float64, cpu)
    scored = scored_rows(run, test)
    targets = run.targets(scored, test=test)
    assert targets is not None
    assert y is not None
    weights = getattr(objective, "weights", None)
    guess = fit(flat(x), y.numpy(), None if weights is None else np.array(weights)[y.numpy()], classes)
    parts = torch.split(scored, PART)
    outputs = [guess(flat(batch)) for batch, _ in run.evaluated(parts, torch.float64, cpu, test=test)]
    return score_of(run, objective, torch.cat(outputs), targets)


def flat(x: Any) -> Any:
    """Inputs [rows, features] as NumPy has them."""
    return x.reshape(len(x), -1).double().numpy()


def linear(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, classes: int | None) -> Guess:
    """Logistic or ridge regression, as scikit-learn has them."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if classes is not None:
        return of_classes(LogisticRegression(max_iter=ITERATIONS).fit(x, y, sample_weight=weights), classes)
    ridge = Ridge().fit(x, y.reshape(len(y), -1))
    return lambda rows: torch.from_numpy(ridge.predict(rows)).reshape(-1, *y.shape[1:])


def trees(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, classes: int | None) -> Guess:
    """Gradient-boosted trees, as scikit-learn has them; of several numbers a row one model for each."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    options: dict[str, Any] = {"early_stopping": False, "random_state": 0}
    if classes is not None:
        model = HistGradientBoostingClassifier(max_iter=max(20, 2 * ITERATIONS // classes), **options)
        return of_classes(model.fit(x, y, sample_weight=weights), classes)
    columns = [
        HistGradientBoostingRegressor(max_iter=ITERATIONS, **options).fit(x, column)
        for column in y.reshape(len(y), -1).T
    ]
    return lambda rows: torch.from_numpy(np.stack([one.predict(rows) for one in columns], 1)).reshape(-1, *y.shape[1:])


def of_classes(model: Any, classes: int) -> Guess:
    """Log probabilities [rows, classes] of a fitted classifier; very small for classes it was not fitted on."""

    def guess(rows: np.ndarray) -> Tensor:
        found = torch.zeros(len(rows), classes, dtype=torch.float64)
        found[:, torch.from_numpy(model.classes_).long()] = torch.from_numpy(model.predict_proba(rows)).double()
        return F.normalize(found.clamp(min=LEAST_CHANCE), p=1, dim=1).log()

    return guess
