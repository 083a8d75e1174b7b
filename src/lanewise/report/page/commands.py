"""The commands that repeat a race and train its winner."""

import shlex
from dataclasses import fields

from lanewise.base.registry import origins
from lanewise.metrics import METRICS
from lanewise.racing.own_pruner import OWN
from lanewise.recipe.recipe import Recipe
from lanewise.study.race import Study
from lanewise.study.settings import RaceSettings, with_overrides
from lanewise.task.spaces import built_in_spaces
from lanewise.task.task import Task


def task_options(task: Task) -> list[str] | None:
    """`--data` and `--model` as words of a command; None where only Python has what makes the task."""
    words: list[str] = []
    for option, named in _names(task).items():
        if named is None:
            return None
        words += [f"--{option}", named]
    how, aims = data_options(task), aim_options(task)
    return None if how is None or aims is None else [*words, *how, *aims]


def train_command(task: Task, recipe: Recipe | None = None) -> str:
    """Trains the winner alone, which is `recipe`; what the recipe file records need not be said again."""
    words = ["lanewise", "train", "best.yaml", *import_options(str(recipe), metric=task.objective.metric.name)]
    for option, named in _names(task).items():
        if option not in task.names:
            words += [f"--{option}", named or option.upper()]
    return shlex.join([*words, *(data_options(task) or []), *(aim_options(task) or [])])


def import_options(*recipes: str, **names: str) -> list[str]:
    """`--import` for every module of the user's own parts in `recipes`, and of the pruner and the metric in `names`."""
    modules = dict.fromkeys(one["module"] for one in origins(recipes, **names).values())
    return [word for module in modules for word in ("--import", module)]


def aim_options(task: Task) -> list[str] | None:
    """Metric and class weights as words of a command, if they are not the usual; None for functions of one's own."""
    aims = task.aims
    if aims["objective"] not in METRICS or aims["function"] is not None:
        return None
    usual = aims["metric"] == METRICS[aims["objective"]][0].name
    words = [] if usual else ["--metric", aims["metric"]]
    weights = ",".join(repr(weight) for weight in aims["class_weights"] or ())
    return [*words, "--class-weights", weights] if weights else words


def data_options(task: Task) -> list[str] | None:
    """How the data is read and split, as words of a command; None where the command line has no words for it."""
    words: list[str] = []
    for name, value in (task.source.asked if task.source.asked is not None else {"rows": None}).items():
        if name == "standardise" and value is False:
            words.append("--no-standardise")
            continue
        option = {"target_column": "target"}.get(name, name)
        if name == "drop" and isinstance(value, list):
            words += [word for heading in value for word in ("--drop", str(heading))]
            continue
        if name == "drop_missing_target":
            words += ["--drop-missing-target"]
            continue
        if option not in ("target", "split", "groups", "time", "folds", "encoding") or f"--{option}" in words:
            return None
        words += [f"--{option}", str(value)]
    return words


def _names(task: Task) -> dict[str, str | None]:
    """What the command line calls the data and the model; None for what only Python has."""
    model = task.model_name if "model" in task.names or ":" in task.model_name else None
    return {"data": None if task.source.name == "arrays" else task.source.name, "model": model}


def race_command(study: Study) -> str | None:
    """Runs the same race again; None where only Python can."""
    options = task_options(study.task)
    space = _space_options(study)
    if options is None or space is None or study.settings.pruner.startswith(OWN):
        return None
    metric, pruner = study.task.objective.metric.name, study.settings.pruner
    imports = import_options(str(study.space), str(study.baseline), metric=metric, pruner=pruner)
    words = ["lanewise", "race", *imports, *options, *space]
    usual = RaceSettings()
    for item in fields(RaceSettings):
        value = getattr(study.settings, item.name)
        if value is not None and (item.name in ("candidates", "repeats", "seed") or value != getattr(usual, item.name)):
            words += [f"--{item.name}", str(value)]
    if study.baseline is not None:
        if study.folder is None:
            return None
        words += ["--baseline", str(study.folder.baseline)]
    if str(study.engine.device) != "cpu":
        words += ["--device", str(study.engine.device)]
    return shlex.join(words)


def _space_options(study: Study) -> list[str] | None:
    """The options that name the space of a race and say whether recipes of habit are raced; None where none can."""
    space, raced = study.space, bool(study.drawing.portfolio)
    epochs = space.epochs if isinstance(space.epochs, int) else None
    batch_size = space.batch_size if isinstance(space.batch_size, int) else None
    lengths = [(None, None), (epochs, None), (None, batch_size), (epochs, batch_size)]
    for name, make in built_in_spaces(study.task).items():
        for given in dict.fromkeys(lengths):
            if with_overrides(make(*given), *given) == space:
                options = zip(("--epochs", "--batch-size"), given, strict=True)
                words = [word for option, value in options if value is not None for word in (option, str(value))]
                usual = name != "classic"
                switch = [] if raced == usual else ["--portfolio" if raced else "--no-portfolio"]
                return ["--space", name, *words, *switch]
    return ["--space", str(study.folder.space), *["--portfolio"] * raced] if study.folder else None
