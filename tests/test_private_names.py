"""Private names of torch and Optuna stand in few files, so that a new version breaks the package in few places."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "lanewise"
FREE = {
    "base/torch_modules.py",
    "base/dynamo.py",
    "sampling/optuna_private.py",
    *(str(p.relative_to(PACKAGE)) for p in (PACKAGE / "lanes/compile").glob("*.py")),
}
"""Files that may use private names; what they use and why stands in them, that of torch in `base/torch_modules.py`."""
ELSEWHERE = {
    # torch's SequentialLR and ChainedScheduler call or write these.
    "bridges/torch_schedule.py": {"_initial_step", "_update_lr", "_last_lr", "_is_initial", "_step_count"},
    # Nothing public ends the processes of a DataLoader.
    "data/rows/dataset_rows.py": {"_iterator"},
    # Methods of `TPESampler` that `GenerationTPE` calls, see `sampling/optuna_private.py`.
    "sampling/tpe.py": {
        *("_build_parzen_estimator", "_compute_acquisition_func", "_compare"),
        *("_rng", "_n_ei_candidates"),
    },
    # Public, whatever their names look like: those of named tuples, and the end of a process.
    "lanes/attributes/walk.py": {"_make"},
    "sampling/database_url.py": {"_replace"},
    "task/outputs.py": {"_fields"},
    "cli/stopping.py": {"_exit"},
}
OF_TORCH = {
    *("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_apply", "_last_lr", "_step_count"),
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_initial_step", "_update_lr"),
    *("_is_initial", "_cdata", "_schema", "_foreach_add", "_foreach_mul", "_C", "_dynamo", "_inductor", "_functorch"),
    "_should_skip_dynamo",
}
"""Names of torch's that a class of ours could define too, and that count as torch's all the same."""
FILES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


def ours(tree: ast.Module) -> set[str]:
    """What a module defines: functions, classes, and attributes of its own objects."""
    defined = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    stored = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return (defined | stored) - OF_TORCH


OURS = set().union(*map(ours, FILES.values()))


def private_names(tree: ast.Module) -> Iterator[str]:
    """Private names of other libraries that a module imports, reads, writes or overrides."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in OURS:
            yield node.attr
        elif isinstance(node, ast.FunctionDef) and node.name in OF_TORCH:
            yield node.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] != "lanewise":
            named = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from filter(is_private, named)
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split(".") if is_private(part))


@pytest.mark.parametrize("file", FILES)
def test_private_names_of_torch_stand_where_they_may(file: str) -> None:
    if file not in FREE:
        assert set(private_names(FILES[file])) <= ELSEWHERE.get(file, set())


@pytest.mark.parametrize("file", ELSEWHERE)
def test_names_listed_are_used(file: str) -> None:
    assert set(private_names(FILES[file])) == ELSEWHERE[file], "no longer used: take it from the list"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from torch._inductor import config", "_inductor"),
        ("import torch._dynamo.utils", "_dynamo"),
        ("from torch.nn.modules.conv import _ConvNd", "_ConvNd"),
        ("module._buffers['mean'] = 1", "_buffers"),
        ("self._last_lr = 0.1", "_last_lr"),
        ("torch._foreach_add(a, b)", "_foreach_add"),
        ("def _should_skip_dynamo(cls): ...", "_should_skip_dynamo"),
    ],
)
def test_finds_private_names(code: str, found: str) -> None:
    assert found in set(private_names(ast.parse(code)))
