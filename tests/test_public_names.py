"""The public names: which there are, of which kind, and what the main calls take. A change here is one users notice."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lanewise as lw

CLASSES = {
    *("Adam", "AdamW", "GradientDescent", "Lion", "Muon", "RMSprop", "SGD", "ScheduleFreeAdamW", "ScheduleFreeSGD"),
    *("Constant", "Cosine", "Exponential", "InverseSqrt", "InverseTime", "Linear", "Milestones", "OneCycle"),
    *("OneMinusSqrt", "Piecewise", "Plateau", "Polynomial", "Restarts", "Rising", "Staircase", "StepLinear"),
    *("Warmup", "WarmupStableDecay", "AveragedWeights", "Dropout", "GhostBatchNorm", "StochasticDepth"),
    *("InputError", "LRScheduler", "ParameterGroup", "Penalty", "TorchOptimizer", "Race", "Recipe", "Task"),
    *("Metric", "Optimizer", "Schedule"),
}
FUNCTIONS = {
    *("ablate", "auto", "compare", "load", "load_model", "portfolio", "race", "resume", "sweep"),
    *("choice", "classic", "coupled", "integer", "log", "uniform"),
    *("convert_norm", "fold_norm", "freeze_norm", "lint_norm", "reestimate", "unfreeze_norm"),
    *("lora", "merge_lora", "save_lora", "layer_depths", "times"),
    *("duration", "flag", "numeric", "register", "role_groups", "roles", "word"),
}
TYPES = {"Pruner"}
"""Of functions: what annotations name."""
HOW = ["device", "precision", "threads", "engine", "observer", "progress"]
PARAMETERS = {
    "Task": ["model", "data", "objective", "metric", "greater_is_better", "class_weights", "cache"],
    "race": [
        *("task", "space", "epochs", "batch_size", "out", "checkpoint_every", *HOW),
        *("sampler", "enqueue", "storage", "baseline", "portfolio", "settings"),
    ],
    "resume": ["folder", "task", "observer", "progress", "sampler", "storage", "pruner"],
    "auto": ["task", "kind", "epochs", "batch_size"],
    "portfolio": ["task", "space"],
    "compare": ["task", "recipes", "epochs", "batch_size", "options"],
    "ablate": ["task", "recipe", "pairs", "epochs", "batch_size", "options"],
    "sweep": ["task", "recipe", "field", "values", "points", "epochs", "batch_size", "options"],
    "register": ["part", "name", "kind", "greater_is_better", "fraction"],
    "load_model": ["path", "model"],
    "Metric": ["name", "function", "greater_is_better", "fraction", "of_set", "check", "of_data", "bounds"],
    "Recipe": [
        *("optimizer", "l2", "l1", "l1_step", "decay", "decay_by", "penalty_per", "penalised", "groups"),
        *("layer_decay", "gradual_unfreezing", "dropout", "stochastic_depth", "norm", "norm_groups", "norm_momentum"),
        *("ghost", "mixup", "label_smoothing", "clip", "accumulate", "ema", "average_from", "early_stopping"),
        *("width", "rank", "lora_alpha", "batch_size", "epochs"),
    ],
    "SGD": ["lr", "momentum", "dampening", "nesterov"],
    "ParameterGroup": ["parameters", "lr", "decay", "l2", "l1", "freeze"],
    "times": ["factor"],
}
STUB = Path(lw.__file__).with_suffix(".pyi")


def test_the_names_are_these() -> None:
    assert set(lw.__all__) == CLASSES | FUNCTIONS | TYPES
    assert lw.__all__ == sorted(lw.__all__)
    assert set(lw.__all__) <= set(dir(lw))


@pytest.mark.parametrize("name", lw.__all__)
def test_each_is_what_it_was(name: str) -> None:
    found = getattr(lw, name)
    assert inspect.isclass(found) == (name in CLASSES)
    assert inspect.isfunction(found) == (name in FUNCTIONS)
    assert name in TYPES or found.__doc__


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_main_calls_take_these(name: str) -> None:
    assert list(inspect.signature(getattr(lw, name)).parameters) == PARAMETERS[name]


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    (listed,) = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    assert sorted(ast.literal_eval(listed)) == lw.__all__, "a stub exports what its __all__ lists"


def test_no_module_of_the_package_has_a_public_name() -> None:
    """Importing such a module would put it in the place of the name."""
    modules = {path.stem for path in STUB.parent.iterdir() if path.suffix in ("", ".py")}
    assert not modules & set(lw.__all__)


def test_other_names_are_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'lanewise' has no attribute 'races'"):
        lw.races  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'races' from 'lanewise'"):
        exec("from lanewise import races")


def loaded_by(code: str) -> set[str]:
    """The packages, without what lies inside, that a fresh Python has imported after `code`."""
    ask = "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", code + ask], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_nothing_is_imported_until_a_name_is_used() -> None:
    assert not loaded_by("import lanewise; dir(lanewise)") & {"torch", "numpy", "scipy", "sklearn", "optuna", "rich"}
    assert "torch" not in loaded_by("import lanewise as lw; 0.1 * lw.Cosine(warmup='5%')")
    everything = loaded_by("from lanewise import *; assert race and SGD")
    assert "torch" in everything


def test_products_are_added_up_in_order_although_torch_comes_later() -> None:
    """MKL reads its setting at the first product of a process, which may come before any name of ours is used."""
    code = (
        "import lanewise, torch; torch.ones(64, 64) @ torch.ones(64, 64); "
        "from lanewise.base.lane_process import adds_by_address; print(adds_by_address())"
    )
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == "False"
