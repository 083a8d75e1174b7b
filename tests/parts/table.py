"""The table of all parts: for each a name, recipes that use it with different numbers by lane, and their model.

Schedules have their rows in `table_schedules.py`, optimizers in `table_optimizers.py`, and the fields of a recipe here.
A new part gets a row, and its ranges a line in `table_limits.py`; `test_table_complete.py` says when one is missing.
"""

from dataclasses import replace
from typing import Any

from lanewise.parts.groups import times
from lanewise.parts.optimizers import SGD, AdamW, Muon, ScheduleFreeAdamW, ScheduleFreeSGD
from lanewise.parts.schedules import Cosine, Exponential, Linear, Polynomial
from lanewise.recipe.recipe import Recipe
from tests.parts.table_optimizers import RULE_ROWS
from tests.parts.table_row import BATCH, EPOCHS, LIVELY, Row, halved, recipe
from tests.parts.table_schedules import SCHEDULE_ROWS


def number_row(name: str, *values: Any, neutral: float, **structure: Any) -> Row:
    """A number of SGD or of the recipe, in each lane another value or schedule."""
    optimizer = {"momentum": 0.5} if name in ("lr", "dampening") else {}

    def with_value(value: Any) -> Recipe:
        own = {**LIVELY, **structure}
        if name in ("lr", "momentum", "dampening"):
            return recipe(SGD(**{"lr": 0.1, **optimizer, name: value}), **own)
        return recipe(**{**own, name: value})

    return Row(name, tuple(map(with_value, values)), with_value(neutral))


NUMBER_ROWS = (
    number_row("lr", 0.3, 0.05, 0.2 * Cosine(warmup="5%"), neutral=0.0),
    number_row("momentum", 0.9, 0.3, 0.9 * Linear(to=0.5), neutral=0.0),
    number_row("dampening", 0.5, 0.1, 0.9 * Cosine(), neutral=0.0),
    number_row("l2", 0.05, 0.01, 0.1 * Linear(), neutral=0.0),
    number_row("l1", 0.01, 0.003, 0.02 * Cosine(), neutral=0.0),
    number_row("decay", 0.1, 0.02, 0.2 * Exponential(to=0.1), neutral=0.0),
    number_row("dropout", 0.5, 0.1, 0.6 * Linear(), neutral=0.0),
    number_row("norm_momentum", 0.5, 1.0, 0.3 * Linear(to=0.1), neutral=0.1),
    number_row("label_smoothing", 0.2, 0.05, 0.4 * Polynomial(), neutral=0.0),
    Row(
        "the model's own rates", tuple(recipe(SGD(lr=lr)) for lr in (0.1, 0.2, 0.05)), recipe(SGD(lr=0.1), dropout=0.0)
    ),
)


def variant_row(name: str, values: Any, without: dict[str, Any], model: str = "mlp", **structure: Any) -> Row:
    """Recipes with `structure` and in each lane other fields `values`; `without` undoes the part."""
    lanes = tuple(recipe(**{**structure, **own}) for own in values)
    return Row(name, lanes, replace(lanes[0], **without), model)


RATES = (
    {"optimizer": SGD(lr=0.1)},
    {"optimizer": SGD(lr=0.05, momentum=0.5)},
    {"optimizer": SGD(lr=0.1 * Cosine(), momentum=0.9)},
)
RATES_FREE = tuple({"optimizer": ScheduleFreeSGD(lr=lr)} for lr in (0.5, 0.2, 1.0))
MOMENTA = tuple(
    {**rate, "norm_momentum": momentum} for rate, momentum in zip(RATES, (0.5, 0.1, 0.2 * Linear(to=0.5)), strict=True)
)

REGULARISATION_ROWS = (
    variant_row(
        "l1 by the proximal step",
        ({"l1": 0.02}, {"l1": 0.005}, {"l1": 0.05 * Linear()}),
        {"l1_step": "subgradient"},
        l1_step="proximal",
    ),
    variant_row(
        "independent decay",
        ({"decay": 0.01}, {"decay": 0.001}, {"decay": 0.02 * Cosine()}),
        {"decay_by": "rate"},
        decay_by="independent",
    ),
    variant_row(
        "penalty per row",
        ({"l2": 2.0, "l1": 0.3}, {"l2": 0.5}, {"l2": 4.0 * Linear(), "l1": 0.1}),
        {"penalty_per": "mean"},
        penalty_per="row",
    ),
    variant_row(
        "elastic net", ({"l1": 0.01, "l2": 0.05}, {"l1": 0.02}, {"l2": 0.1 * Linear()}), {"l1": 0.0, "l2": 0.0}
    ),
    variant_row(
        "penalised",
        ({"l2": 0.1, "l1": 0.01}, {"decay": 0.1}, {"l1": 0.02 * Linear()}),
        {"penalised": None},
        penalised=("4.*", "1.weight"),
    ),
    variant_row(
        "penalised, two rates",
        ({"decay": 1.0}, {"l1": 0.1}, {"decay": 2.0 * Linear(), "l1": 0.05}),
        {"penalised": None},
        optimizer=Muon(lr=0.02, adam_lr=0.01),
        penalised=("*.bias", "4.weight"),
        l1_step="proximal",
    ),
    variant_row(
        "groups by factor",
        (
            {"groups": {"0.*": {"lr": "x0.1"}, "4.*": {"lr": times(3.0 * Linear()), "l2": "x2", "decay": 0}}},
            {"groups": {"0.*": {"lr": "x2"}, "4.*": {"lr": "x0.5", "l2": 0.3, "decay": "x3"}}},
            {"groups": {"0.*": {"lr": 0.02 * Cosine()}, "4.*": {"lr": "x1", "l2": "x0", "decay": 0.05}}},
        ),
        {"groups": ()},
        l2=0.02,
        decay=0.1,
    ),
    variant_row(
        "groups of AdamW",
        (
            {"groups": {"0.*": {"lr": "x0.1", "decay": 0}, "1.*": {"decay": "x5"}}},
            {"groups": {"0.*": {"lr": 0.03, "decay": 2.0}, "1.*": {"decay": 0}}},
            {"groups": {"0.*": {"lr": times(Linear()), "decay": times(Cosine())}, "1.*": {"decay": 3.0 * Linear()}}},
        ),
        {"groups": ()},
        optimizer=AdamW(lr=0.01, weight_decay=0.5),
        clip=0.5,
    ),
    variant_row(
        "groups of Muon",
        (
            {"groups": {"0.*": {"l1": "x2", "lr": "x3"}, "4.*": {"lr": "x0.1", "decay": 1.0}}},
            {"groups": {"0.*": {"l1": 0.03, "lr": 0.01}, "4.*": {"lr": 0.1, "decay": 0}}},
            {"groups": {"0.*": {"l1": 0, "lr": "x1"}, "4.*": {"lr": times(Linear()), "decay": 0.5}}},
        ),
        {"groups": ()},
        optimizer=Muon(lr=0.02, adam_lr=0.01),
        l1=0.02,
        l1_step="proximal",
    ),
    variant_row(
        "freeze",
        (
            {"groups": {"0.*": {"freeze": "30%"}, "1.*": {"freeze": "0%"}}},
            {"groups": {"0.*": {"freeze": "7st"}, "1.*": {"freeze": "2ep"}}, "optimizer": SGD(lr=0.2, momentum=0.9)},
            {"groups": {"0.*": {"freeze": True}, "1.*": {"freeze": "50%"}}, "l1": 0.01},
        ),
        {"groups": ()},
        optimizer=SGD(lr=0.1, momentum=0.5, dampening=0.5),
        clip=0.3,
        l2=0.02,
    ),
    variant_row(
        "freeze, AdamW",
        (
            {"groups": {"0.*": {"freeze": "30%", "lr": "x0.5"}}},
            {"groups": {"0.*": {"freeze": "1ep", "lr": "x2"}}},
            {"groups": {"0.*": {"freeze": "70%", "lr": times(Linear())}}},
        ),
        {"groups": ()},
        optimizer=AdamW(lr=0.01, weight_decay=0.5),
        ema=0.9,
    ),
    variant_row(
        "layer_decay",
        ({"layer_decay": 0.5}, {"layer_decay": 0.1}, {"layer_decay": 1.0 * Linear(to=0.2)}),
        {"layer_decay": None},
        "residual",
        decay=0.1,
    ),
    variant_row(
        "layer_decay and groups of Muon",
        ({"layer_decay": 0.5}, {"layer_decay": 0.2}, {"layer_decay": 0.9 * Cosine(to=0.2)}),
        {"layer_decay": None},
        optimizer=Muon(lr=0.02, adam_lr=0.01, weight_decay=0.5),
        groups={"0.*": {"lr": "x0.5"}},
    ),
    variant_row(
        "gradual_unfreezing",
        ({"gradual_unfreezing": "50%"}, {"gradual_unfreezing": "9st"}, {"gradual_unfreezing": "100%"}),
        {"gradual_unfreezing": None},
        "residual",
        accumulate=2,
        batch_size=4,
        groups={"stem.*": {"freeze": "10%"}},
    ),
    variant_row("mixup", ({"mixup": 1.0}, {"mixup": 0.2}, {"mixup": 0.8 * Linear()}), {"mixup": None}),
    variant_row(
        "stochastic_depth",
        ({"stochastic_depth": 0.5}, {"stochastic_depth": 0.2}, {"stochastic_depth": 0.6 * Linear()}),
        {"stochastic_depth": 0.0},
        "residual",
    ),
    variant_row(
        "dropout of channels",
        ({"dropout": 0.5}, {"dropout": 0.2}, {"dropout": 0.6 * Linear()}),
        {"dropout": 0.0},
        "residual",
    ),
)
NORM_ROWS = (
    *(
        variant_row(f"norm={norm}, {model}", RATES, {"norm": "own"}, model, norm=norm, norm_groups=2)
        for model in ("mlp", "residual")
        for norm in ("layer", "group", "identity")
    ),
    variant_row("norm=batch, layered", MOMENTA, {"norm": "own"}, "layered", norm="batch"),
    variant_row("norm=batch, grouped", MOMENTA, {"norm": "own"}, "grouped", norm="batch"),
    variant_row("norm=batch, tokens", MOMENTA, {"norm": "own"}, "tokens", norm="batch"),
    variant_row("norm=batch, mlp", MOMENTA, {"norm": "identity"}, norm="batch"),
    # Not groups of two values: their norm is nearly a sign, and the run chaotic.
    variant_row("norm_groups", RATES, {"norm_groups": 2}, norm="group", norm_groups=3),
    # Of 7 rows a last one is left over: on its own in images, with the three before it in vectors.
    variant_row("ghost", MOMENTA, {"ghost": None}, ghost=3, batch_size=7),
    variant_row("ghost, residual", MOMENTA, {"ghost": None}, "residual", ghost=3, batch_size=7),
    variant_row("ghost, the model's own momentum", RATES, {"ghost": None}, ghost=4),
    variant_row("clip", ({"clip": 0.5}, {"clip": 0.1}, {"clip": 1.0 * Linear()}), {"clip": None}),
    variant_row("accumulate", RATES, {"accumulate": 1}, accumulate=3, batch_size=4, epochs=15),
    variant_row(
        "accumulate, residual", MOMENTA, {"accumulate": 1}, "residual", accumulate=2, batch_size=4, dropout=0.2
    ),
    variant_row("ema", ({"ema": 0.9}, {"ema": 0.5}, {"ema": 0.95 * Linear(to=0.5)}), {"ema": None}),
    variant_row("ema, schedule-free", RATES_FREE, {"ema": None}, ema=0.9),
    variant_row(
        "average_from", ({"average_from": 0.5}, {"average_from": 0.0}, {"average_from": 0.9}), {"average_from": None}
    ),
    variant_row("width", MOMENTA, {"width": None}, width=5, dropout=0.2),
    variant_row("rank", MOMENTA, {"rank": None}, "low rank", rank=3, dropout=0.2),
    variant_row(
        "lora_alpha",
        ({"lora_alpha": 16.0}, {"lora_alpha": 1.0}, {"lora_alpha": 8.0 * Linear(to=0.1)}),
        {"lora_alpha": None},
        "low rank",
    ),
    variant_row("batch_size", RATES, {"batch_size": BATCH}, batch_size=5, epochs=7),
    variant_row("epochs", RATES, {"epochs": EPOCHS}, epochs=11),
)


TOGETHER = {"l1": 0.005, "decay": 0.001, "dropout": 0.3, "norm_momentum": 0.2, "label_smoothing": 0.1}
TOGETHER_ROWS = (
    Row(
        "all at once, mlp",
        tuple(
            recipe(
                optimizer,
                l1_step="proximal",
                decay_by="independent",
                ghost=3,
                mixup=strength,
                clip=1.0,
                ema=0.8,
                groups={"4.*": {"lr": factor, "l1": 0.01, "decay": "x2"}, "1.*": {"freeze": duration}},
                layer_decay=0.5 * strength + 0.5 if isinstance(strength, float) else 0.8,
                gradual_unfreezing=duration,
                **TOGETHER,
            )
            for optimizer, strength, factor, duration in (
                (Muon(lr=0.02 * Cosine(), adam_lr=0.01), 1.0, "x0.5", "20%"),
                (Muon(lr=0.01, momentum=0.5), 0.2, times(Linear(to=0.5)), "1ep"),
                (halved(Muon(lr=0.02)), 0.5 * Linear(), 0.01, "7st"),
            )
        ),
        recipe(Muon(lr=0.02 * Cosine(), adam_lr=0.01)),
    ),
    Row(
        "all at once, residual",
        tuple(
            recipe(
                optimizer,
                stochastic_depth=rate,
                dropout=rate,
                norm="group",
                norm_groups=2,
                label_smoothing=0.1,
                l2=0.01,
            )
            for optimizer, rate in (
                (ScheduleFreeAdamW(lr=0.01), 0.5),
                (ScheduleFreeAdamW(lr=0.02, beta1=0.5), 0.2),
                (halved(ScheduleFreeAdamW(lr=0.01)), 0.5 * Linear()),
            )
        ),
        recipe(ScheduleFreeAdamW(lr=0.01)),
        "residual",
    ),
)

HEARING_ROWS = (
    variant_row(
        "early_stopping",
        ({"early_stopping": "15%"}, {"early_stopping": "9st"}, {"optimizer": SGD(lr=1.0), "early_stopping": "2ep"}),
        {"early_stopping": None},
        optimizer=SGD(lr=1.0, momentum=0.5),
    ),
)
"""Parts that only act where lanes are evaluated on the way: `test_table_stopping.py` trains these."""

TABLE: tuple[Row, ...] = (
    *SCHEDULE_ROWS, *NUMBER_ROWS, *REGULARISATION_ROWS, *NORM_ROWS, *RULE_ROWS, *TOGETHER_ROWS,
)  # fmt: skip
