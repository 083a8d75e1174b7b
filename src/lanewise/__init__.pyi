"""The public names, each imported at its first use (see `__init__.py`), as type checkers and editors read them."""

from lanewise.api.questions import ablate, compare, sweep
from lanewise.api.race import Race, race
from lanewise.api.register import register
from lanewise.api.resume import resume
from lanewise.bridges.torch_optimizer import TorchOptimizer, role_groups
from lanewise.bridges.torch_penalties import Penalty
from lanewise.bridges.torch_schedule import LRScheduler
from lanewise.data import load
from lanewise.errors import InputError
from lanewise.metrics import Metric
from lanewise.parts.dropout import Dropout
from lanewise.parts.groups import ParameterGroup, layer_depths, times
from lanewise.parts.lora import lora, merge_lora, save_lora
from lanewise.parts.norm import (
    AveragedWeights,
    GhostBatchNorm,
    convert_norm,
    fold_norm,
    freeze_norm,
    lint_norm,
    reestimate,
    unfreeze_norm,
)
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
from lanewise.parts.part import flag, numeric, word
from lanewise.parts.roles import roles
from lanewise.parts.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    Milestones,
    OneCycle,
    OneMinusSqrt,
    Piecewise,
    Plateau,
    Polynomial,
    Restarts,
    Rising,
    Schedule,
    Staircase,
    StepLinear,
    Warmup,
    WarmupStableDecay,
    duration,
)
from lanewise.parts.stochastic_depth import StochasticDepth
from lanewise.predictor import load_model
from lanewise.racing import Pruner
from lanewise.recipe.coupling import coupled
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import classic
from lanewise.task.spaces import auto, portfolio
from lanewise.task.task import Task

__version__: str

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AveragedWeights",
    "Constant",
    "Cosine",
    "Dropout",
    "Exponential",
    "GhostBatchNorm",
    "GradientDescent",
    "InputError",
    "InverseSqrt",
    "InverseTime",
    "LRScheduler",
    "Linear",
    "Lion",
    "Metric",
    "Milestones",
    "Muon",
    "OneCycle",
    "OneMinusSqrt",
    "Optimizer",
    "ParameterGroup",
    "Penalty",
    "Piecewise",
    "Plateau",
    "Polynomial",
    "Pruner",
    "RMSprop",
    "Race",
    "Recipe",
    "Restarts",
    "Rising",
    "Schedule",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Staircase",
    "StepLinear",
    "StochasticDepth",
    "Task",
    "TorchOptimizer",
    "Warmup",
    "WarmupStableDecay",
    "ablate",
    "auto",
    "choice",
    "classic",
    "compare",
    "convert_norm",
    "coupled",
    "duration",
    "flag",
    "fold_norm",
    "freeze_norm",
    "integer",
    "layer_depths",
    "lint_norm",
    "load",
    "load_model",
    "log",
    "lora",
    "merge_lora",
    "numeric",
    "portfolio",
    "race",
    "reestimate",
    "register",
    "resume",
    "role_groups",
    "roles",
    "save_lora",
    "sweep",
    "times",
    "unfreeze_norm",
    "uniform",
    "word",
]
