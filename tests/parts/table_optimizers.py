"""The rows of the optimizers, one for each optimizer and flag."""

from typing import Any

from lanewise.parts.optimizers import (
    SGD,
    Adam,
    AdamW,
    GradientDescent,
    Lion,
    Muon,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)
from lanewise.parts.schedules import Constant, Cosine
from tests.parts.table_row import Row, halved, recipe


def optimizer_row(name: str, *optimizers: Optimizer, without: Optimizer, **structure: Any) -> Row:
    """An optimizer with other numbers in each lane; in the last all numbers follow schedules."""
    lanes = tuple(recipe(optimizer, **structure) for optimizer in (*optimizers, halved(optimizers[0])))
    return Row(name, lanes, recipe(without))


RULE_ROWS = (
    optimizer_row(
        "gradient_descent", GradientDescent(lr=0.3), GradientDescent(lr=0.1 * Cosine()), without=SGD(lr=0.3), epochs=60
    ),
    optimizer_row("sgd", SGD(lr=0.1, momentum=0.9, dampening=0.2), SGD(lr=0.2, momentum=0.5), without=SGD(lr=0.1)),
    optimizer_row(
        "sgd, nesterov",
        SGD(lr=0.05, momentum=0.9, nesterov=True),
        SGD(lr=0.2, momentum=0.5, nesterov=True),
        without=SGD(lr=0.05, momentum=0.9),
    ),
    optimizer_row("adam", Adam(lr=0.01), Adam(lr=0.003, beta1=0.5, beta2=0.9, eps=1e-4), without=SGD(lr=0.01)),
    optimizer_row(
        "adam, amsgrad",
        Adam(lr=0.01, beta2=0.7, amsgrad=True),
        Adam(lr=0.02, beta1=0.5, amsgrad=True),
        without=Adam(lr=0.01, beta2=0.7),
    ),
    optimizer_row(
        "adamw", AdamW(lr=0.01, weight_decay=0.1), AdamW(lr=0.02, beta1=0.8, weight_decay=0.0), without=Adam(lr=0.01)
    ),
    optimizer_row(
        "adamw, amsgrad",
        AdamW(lr=0.01, beta2=0.7, amsgrad=True),
        AdamW(lr=0.02, weight_decay=0.1, amsgrad=True),
        without=AdamW(lr=0.01, beta2=0.7),
    ),
    optimizer_row(
        "rmsprop", RMSprop(lr=0.003, alpha=0.9, momentum=0.5), RMSprop(lr=0.005, eps=1e-3), without=SGD(lr=0.003)
    ),
    optimizer_row(
        "rmsprop, centered",
        RMSprop(lr=0.003, alpha=0.9, eps=1e-2, centered=True),
        RMSprop(lr=0.002, eps=1e-3, momentum=0.5, centered=True),
        without=RMSprop(lr=0.003, alpha=0.9, eps=1e-2),
    ),
    optimizer_row(
        "lion", Lion(lr=0.003, weight_decay=0.1), Lion(lr=0.001, beta1=0.5, beta2=0.9), without=SGD(lr=0.003)
    ),
    optimizer_row(
        "muon",
        Muon(lr=0.02, adam_lr=0.01, weight_decay=0.1, adam_weight_decay=0.1),
        Muon(lr=0.01, momentum=0.5, adam_beta1=0.5),
        without=SGD(lr=0.02),
    ),
    optimizer_row(
        "muon, not nesterov",
        Muon(lr=0.02, nesterov=False),
        Muon(lr=0.01, momentum=0.5, nesterov=False),
        without=Muon(lr=0.02),
    ),
    optimizer_row(
        "muon, matched to adamw",
        Muon(lr=0.02, match_adamw=True),
        Muon(lr=0.01, momentum=0.5, match_adamw=True),
        without=Muon(lr=0.02),
    ),
    optimizer_row(
        "schedule_free_sgd",
        ScheduleFreeSGD(lr=0.3, weight_decay=0.01, r=0.5),
        ScheduleFreeSGD(lr=0.2 * Constant(warmup="10%"), momentum=0.5),
        without=SGD(lr=0.3),
    ),
    optimizer_row(
        "schedule_free_adamw",
        ScheduleFreeAdamW(lr=0.01, weight_decay=0.1, r=0.5),
        ScheduleFreeAdamW(lr=0.02, beta1=0.5, beta2=0.9, weight_lr_power=1.0),
        without=Adam(lr=0.01),
    ),
)
