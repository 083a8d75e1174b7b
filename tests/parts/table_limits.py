"""What every number and every duration of a part may be, written down a second time.

An interval's text is what the message of a refusal ends with; `optional` allows None, `fixed` means that the number
cannot change with the step, which numbers of optimizers and of recipes otherwise can.
"""

from dataclasses import dataclass

from lanewise.parts.optimizers import OPTIMIZERS, Optimizer
from lanewise.parts.schedules import SCHEDULES, Schedule, Shape, Warmup
from lanewise.recipe.recipe import Recipe

RATE = {"lr": "[0, inf)"}
AVERAGES = {"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "(0, inf)"}
SCHEDULE_FREE = {"weight_decay": "[0, inf)", "r": "[0, inf)", "weight_lr_power": "[0, inf)"}

NUMBERS: dict[str, dict[str, str]] = {
    "GradientDescent": RATE,
    "SGD": RATE | {"momentum": "[0, 1)", "dampening": "[0, 1]"},
    "Adam": RATE | AVERAGES,
    "AdamW": RATE | AVERAGES | {"weight_decay": "[0, inf)"},
    "RMSprop": RATE | {"alpha": "[0, 1)", "eps": "(0, inf)", "momentum": "[0, 1)"},
    "Lion": RATE | {"beta1": "[0, 1)", "beta2": "[0, 1)", "weight_decay": "[0, inf)"},
    "Muon": RATE
    | {"momentum": "[0, 1)", "weight_decay": "[0, inf)", "adam_lr": "[0, inf)", "adam_weight_decay": "[0, inf)"}
    | {f"adam_{name}": interval for name, interval in AVERAGES.items()},
    "ScheduleFreeSGD": RATE | SCHEDULE_FREE | {"momentum": "(0, 1)"},
    "ScheduleFreeAdamW": RATE | SCHEDULE_FREE | AVERAGES | {"beta1": "(0, 1)"},
    "Linear": {"to": "[0, inf) fixed"},
    "Polynomial": {"power": "(0, inf) fixed", "to": "[0, inf) fixed"},
    "OneMinusSqrt": {"to": "[0, inf) fixed"},
    "Exponential": {"gamma": "(0, inf) fixed optional", "to": "(0, inf) fixed optional"},
    "Staircase": {"beta": "(0, inf) fixed"},
    "Milestones": {"beta": "(0, inf) fixed"},
    "InverseTime": {"k": "[0, inf) fixed"},
    "Cosine": {"arc": "(0, 6.28319] fixed", "to": "[0, inf) fixed"},
    "Restarts": {"growth": "[1, inf) fixed", "beta": "(0, inf) fixed"},
    "OneCycle": {"start": "[0, 1] fixed", "end": "[0, 1] fixed"},
    "WarmupStableDecay": {"to": "[0, 1] fixed"},
    "Plateau": {
        "beta": "(0, 1) fixed",
        "patience": "[0, inf) fixed integer",
        "threshold": "[0, inf) fixed",
        "cooldown": "[0, inf) fixed integer",
        "floor": "[0, 1] fixed",
    },
    "Recipe": {
        "l2": "[0, inf)",
        "l1": "[0, inf)",
        "decay": "[0, inf)",
        "dropout": "[0, 1) optional",
        "stochastic_depth": "[0, 1) optional",
        "norm_groups": "[1, inf) fixed integer",
        "norm_momentum": "(0, 1] optional",
        "ghost": "[2, inf) fixed integer optional",
        "mixup": "[0, inf) optional",
        "label_smoothing": "[0, 1)",
        "clip": "(0, inf) optional",
        "accumulate": "[1, inf) fixed integer",
        "ema": "[0, 1) optional",
        "average_from": "[0, 1) fixed optional",
        "width": "[1, 65536] fixed integer optional",
        "rank": "[1, 65536] fixed integer optional",
        "lora_alpha": "[0, inf) optional",
        "layer_decay": "(0, 1] optional",
        "batch_size": "[1, inf) fixed integer",
        "epochs": "[1, inf) fixed integer",
    },
}
"""Class -> number -> what it may be."""

DURATIONS: dict[str, dict[str, str]] = {
    "Exponential": {"per": "positive"},
    "Staircase": {"period": "positive"},
    "StepLinear": {"step": "positive"},
    "InverseTime": {"per": "positive"},
    "InverseSqrt": {"timescale": "positive"},
    "Restarts": {"period": "positive"},
    "OneCycle": {"rise": ""},
    "WarmupStableDecay": {"decay": ""},
    "Warmup": {"duration": "positive"},
    "Recipe": {"early_stopping": "positive optional", "gradual_unfreezing": "optional"},
}
"""Class -> duration -> `positive` where zero is refused; beside those, every shape has `warmup` and `duration`."""
OF_SHAPES = {"warmup": "optional", "duration": "positive optional"}

MOMENTS = {"Milestones": "at", "Piecewise": "at"}
"""Class -> field that is a tuple of durations."""

KINDS: dict[str, type[Optimizer] | type[Schedule] | type[Recipe]] = {
    kind.__name__: kind for kind in (*OPTIMIZERS, *SCHEDULES, Recipe)
}


@dataclass(frozen=True)
class Limit:
    """One number of one class and what it may be."""

    kind: str
    name: str
    low: float
    high: float
    interval: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"

    @property
    def outside(self) -> list[float]:
        """Numbers next to the interval, its ends among them where they do not belong to it."""
        low = self.low if self.interval[0] == "(" else self.low - 1
        high = self.high if self.interval[-1] == ")" else self.high + 1
        return [value for value in (low, self.low - 0.5, high, self.high + 0.5) if abs(value) != float("inf")]

    @property
    def inside(self) -> list[float]:
        """The ends that belong to the interval."""
        ends = {self.low: self.interval[0] == "[", self.high: self.interval[-1] == "]"}
        return [int(end) if "integer" in self.words else end for end, belongs in ends.items() if belongs]


def limit(kind: str, name: str, text: str) -> Limit:
    low, high, *words = text.split()
    interval = f"{low} {high}"
    # 2 pi stands in messages with six digits.
    exact = {"6.28319": 6.283185307179586}.get(high[:-1])
    return Limit(kind, name, float(low[1:-1]), float(high[:-1]) if exact is None else exact, interval, tuple(words))


LIMITS = tuple(limit(kind, name, text) for kind, numbers in NUMBERS.items() for name, text in numbers.items())


def durations_of(kind: type) -> dict[str, str]:
    """Every duration of a class and what is said of it."""
    shape = OF_SHAPES if issubclass(kind, Shape) and kind is not Warmup else {}
    return shape | DURATIONS.get(kind.__name__, {})
