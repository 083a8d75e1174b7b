"""Other tuners on the task of `python -m bench time-to-answer`: one search each, from the start to its pick.

Arguments: tuner, an .npz file with the rows (x, y, x_valid, y_valid, x_test, y_test), candidates, epochs, batch size,
seed. Prints a line of JSON when the pick is made, and another with the test accuracy of the pick on fresh seeds, which
is not part of what is timed. All but Keras Tuner train by a plain PyTorch loop with one thread. Run by the Python of
.venv (Optuna) or of .venv-peers (Ray Tune, Keras Tuner).
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MOMENTUM, HIDDEN, FRESH_SEEDS = 0.9, 128, 8
SCHEDULES = ("constant", "linear", "cosine", "exponential", "staircase")
Rows = dict[str, np.ndarray]
Recipe = dict[str, Any]
"""rate, decay, dropout and schedule."""


def factor(schedule: str, progress: float) -> float:
    """The share of the peak rate at `progress` in [0, 1), as in the space of `bench.time_to_answer`."""
    return {
        "constant": 1.0,
        "linear": 1 - progress,
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "exponential": 0.01**progress,
        "staircase": 0.1 ** math.floor(progress / 0.34),
    }[schedule]


def epochs_of(rows: Rows, recipe: Recipe, epochs: int, batch: int, seed: int) -> Iterator[Any]:
    """Train in plain PyTorch; gives the model after each epoch."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(rows["x"].shape[1], HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(),
        nn.Dropout(recipe["dropout"]), nn.Linear(HIDDEN, 10),
    )  # fmt: skip
    x, y = torch.from_numpy(rows["x"]), torch.from_numpy(rows["y"])
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe["rate"], momentum=MOMENTUM, weight_decay=recipe["decay"])
    per_epoch = len(x) // batch
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: factor(recipe["schedule"], step / (epochs * per_epoch))
    )
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        for start in range(0, per_epoch * batch, batch):
            chosen = order[start : start + batch]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
            scheduler.step()
        yield model


def share_right(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Accuracy of a torch model."""
    import torch

    model.eval()
    with torch.no_grad():
        return float((model(torch.from_numpy(x)).argmax(1) == torch.from_numpy(y)).float().mean())


def drawn(trial: Any) -> Recipe:
    """A recipe that an Optuna trial draws."""
    return {
        "rate": trial.suggest_float("rate", 1e-3, 1.0, log=True),
        "decay": trial.suggest_float("decay", 1e-6, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "schedule": trial.suggest_categorical("schedule", SCHEDULES),
    }


def optuna_tpe(rows: Rows, candidates: int, epochs: int, batch: int, seed: int, hyperband: bool = False) -> Recipe:
    """Optuna: TPE, without pruning or with its Hyperband pruner."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        right = 0.0
        for epoch, model in enumerate(epochs_of(rows, drawn(trial), epochs, batch, seed + trial.number)):
            if hyperband or epoch + 1 == epochs:
                right = share_right(model, rows["x_valid"], rows["y_valid"])
            if hyperband:
                trial.report(right, epoch + 1)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return right

    pruner = optuna.pruners.HyperbandPruner(1, epochs) if hyperband else optuna.pruners.NopPruner()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    study.optimize(objective, n_trials=candidates)
    return dict(study.best_params)


def ray_asha(rows: Rows, candidates: int, epochs: int, batch: int, seed: int) -> Recipe:
    """Ray Tune: random search under ASHA."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    ray.init(num_cpus=os.cpu_count(), log_to_driver=False, include_dashboard=False)

    def trainable(config: Recipe, rows: Rows) -> None:
        import torch

        torch.set_num_threads(1)
        for model in epochs_of(rows, config, epochs, batch, seed):
            tune.report({"accuracy": share_right(model, rows["x_valid"], rows["y_valid"])})

    space = {
        "rate": tune.loguniform(1e-3, 1.0),
        "decay": tune.loguniform(1e-6, 1e-2),
        "dropout": tune.uniform(0.0, 0.5),
        "schedule": tune.choice(SCHEDULES),
    }
    tuner = tune.Tuner(
        tune.with_parameters(trainable, rows=rows),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=candidates, scheduler=ASHAScheduler(max_t=epochs)
        ),
        run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(), verbose=0),
    )
    return dict(tuner.fit().get_best_result().config)


def keras_hyperband(rows: Rows, candidates: int, epochs: int, batch: int, seed: int) -> Recipe:
    """Keras Tuner: Hyperband, on JAX, until it has begun `candidates` trials."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    import keras_tuner

    per_epoch = len(rows["x"]) // batch

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, rate: float, schedule: str) -> None:
            self.rate, self.schedule = rate, schedule

        def __call__(self, step: Any) -> Any:
            progress = keras.ops.cast(step, "float32") / (epochs * per_epoch)
            return (
                self.rate
                * {
                    "constant": progress * 0 + 1.0,
                    "linear": 1 - progress,
                    "cosine": (1 + keras.ops.cos(math.pi * progress)) / 2,
                    "exponential": keras.ops.power(0.01, progress),
                    "staircase": keras.ops.power(0.1, keras.ops.floor(progress / 0.34)),
                }[self.schedule]
            )

        def get_config(self) -> dict[str, Any]:
            return {"rate": self.rate, "schedule": self.schedule}

    def build(hp: Any) -> Any:
        decay = keras.regularizers.L2(hp.Float("decay", 1e-6, 1e-2, sampling="log") / 2)
        model = keras.Sequential(
            [
                keras.layers.Input((rows["x"].shape[1],)),
                keras.layers.Dense(HIDDEN, use_bias=False, kernel_regularizer=decay),
                keras.layers.BatchNormalization(),
                keras.layers.ReLU(),
                keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5)),
                keras.layers.Dense(10, kernel_regularizer=decay),
            ]
        )
        rate = Schedule(hp.Float("rate", 1e-3, 1.0, sampling="log"), hp.Choice("schedule", list(SCHEDULES)))
        model.compile(
            optimizer=keras.optimizers.SGD(rate, momentum=MOMENTUM),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    tuner = keras_tuner.Hyperband(
        build,
        objective="val_accuracy",
        max_epochs=epochs,
        seed=seed,
        directory=tempfile.mkdtemp(),
        hyperband_iterations=100,
    )
    tuner.oracle.max_trials = candidates
    tuner.search(rows["x"], rows["y"], batch_size=batch, validation_data=(rows["x_valid"], rows["y_valid"]), verbose=0)
    return {name: tuner.get_best_hyperparameters()[0].get(name) for name in ("rate", "decay", "dropout", "schedule")}


TUNERS: dict[str, Callable[..., Recipe]] = {
    "optuna": optuna_tpe,
    "optuna-hyperband": lambda *given: optuna_tpe(*given, hyperband=True),
    "ray-asha": ray_asha,
    "keras-hyperband": keras_hyperband,
}


def main() -> None:
    """One search, and its pick on fresh seeds."""
    tuner, path, *numbers = sys.argv[1:]
    candidates, epochs, batch, seed = map(int, numbers)
    rows = dict(np.load(path))
    if tuner != "keras-hyperband":
        import torch

        torch.set_num_threads(1)
    picked = TUNERS[tuner](rows, candidates, epochs, batch, seed)
    print(json.dumps({"picked": picked}), flush=True)
    right = []
    for fresh in range(FRESH_SEEDS):
        *_, model = epochs_of(rows, picked, epochs, batch, 10_000 + fresh)
        right.append(share_right(model, rows["x_test"], rows["y_test"]))
    print(json.dumps({"test": right}), flush=True)


if __name__ == "__main__":
    main()
