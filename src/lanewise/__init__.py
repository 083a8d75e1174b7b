"""Lanewise finds the training recipe that suits a model and its data, by racing many side by side.

Each public name is imported when it is first used, so that `import lanewise` takes no time: torch alone takes
seconds.
Type checkers and editors read the same names in `__init__.pyi`; `tests/test_public_names.py` holds the two together.
"""

from importlib import import_module
from typing import Any

from lanewise.base.process import before_torch, collector_paused

__version__ = "0.1.0"

NAMES = {
    "api.questions": "ablate compare sweep",
    "api.race": "Race race",
    "api.register": "register",
    "api.resume": "resume",
    "bridges.torch_optimizer": "TorchOptimizer role_groups",
    "bridges.torch_penalties": "Penalty",
    "bridges.torch_schedule": "LRScheduler",
    "data": "load",
    "errors": "InputError",
    "metrics": "Metric",
    "parts.dropout": "Dropout",
    "parts.norm": (
        "AveragedWeights GhostBatchNorm convert_norm fold_norm freeze_norm lint_norm reestimate unfreeze_norm"
    ),
    "parts.optimizers": (
        "SGD Adam AdamW GradientDescent Lion Muon Optimizer RMSprop ScheduleFreeAdamW ScheduleFreeSGD"
    ),
    "parts.part": "flag numeric word",
    "parts.roles": "roles",
    "parts.schedules": (
        "Constant Cosine Exponential InverseSqrt InverseTime Linear Milestones OneCycle OneMinusSqrt "
        "Piecewise Plateau Polynomial Restarts Rising Schedule Staircase StepLinear Warmup WarmupStableDecay "
        "duration"
    ),
    "parts.stochastic_depth": "StochasticDepth",
    "predictor": "load_model",
    "racing": "Pruner",
    "recipe.coupling": "coupled",
    "recipe.ranges": "choice integer log uniform",
    "recipe.recipe": "Recipe",
    "recipe.spaces": "classic",
    "task.task": "Task",
}
"""The public names of each module."""
_MODULES = {name: module for module, names in NAMES.items() for name in names.split()}

__all__ = sorted(_MODULES)

# Here, because torch may multiply matrices between this line and the first use of a name.
before_torch()


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562); from then on it is an ordinary attribute."""
    if name not in _MODULES:
        raise AttributeError(f"module 'lanewise' has no attribute {name!r}")
    with collector_paused():
        module = import_module(f"lanewise.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    """The public names, used or not, for completion."""
    return sorted({*globals(), *__all__})
