"""Compare, ablate and sweep given recipes, each in one call."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lanewise.api.runs import FinishedRun, begin, check_options, check_task
from lanewise.base.plain_data import checked, undamaged
from lanewise.errors import InputError, a_type, together
from lanewise.questions.ablation import Ablation
from lanewise.questions.comparison import Comparison
from lanewise.questions.question import Question
from lanewise.questions.side_by_side import SideBySide, SideBySideSettings
from lanewise.questions.sweep import Sweep
from lanewise.recipe.file import read
from lanewise.recipe.recipe import Recipe
from lanewise.record.checkpoint import EVERY
from lanewise.record.folder import RunFolder, read_json
from lanewise.study.progress import Observer
from lanewise.study.settings import with_overrides
from lanewise.task.task import Task
from lanewise.verdict.ablation import AblationAnswer
from lanewise.verdict.answer import Answer
from lanewise.verdict.comparison import ComparisonAnswer
from lanewise.verdict.sweep import SweepAnswer

QUESTIONS: dict[str, Any] = {question.asked: question for question in (Comparison, Ablation, Sweep)}
ANSWERS: dict[str, Any] = {answer.asked: answer for answer in (ComparisonAnswer, AblationAnswer, SweepAnswer)}

GivenRecipe = Recipe | str | os.PathLike[str]


class Result(FinishedRun):
    """An answer and the run that produced it.

    Attributes:
        run: the engine, the settings, and all learning curves.
    """

    run: SideBySide

    def __init__(self, run: SideBySide) -> None:
        self.run = run

    @property
    def answer(self) -> Answer:
        """What was found: `ComparisonAnswer`, `AblationAnswer` or `SweepAnswer`."""
        return self.run.answer

    @property
    def best(self) -> Recipe:
        """The recipe to go on with; of an ablation, the one that was taken apart."""
        return self.answer.best

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain data, as `verdict.json` holds them."""
        return self.answer.to_dict()

    def _write(self, path: Path) -> None:
        from lanewise.report.page import answers

        answers.write(self.run, path)

    def __str__(self) -> str:
        return str(self.answer)

    def __repr__(self) -> str:
        return f"{type(self.run.question).__name__}({' '.join(self.answer.sentences())!r})"


def compare(
    task: Task,
    recipes: Mapping[str, GivenRecipe] | Sequence[tuple[str, GivenRecipe]],
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    **options: Any,
) -> Result:
    """Which of `recipes` is best on `task`, how sure that is, and which others are too close to call.

    All are trained to the end on the same repeats, which no race with this seed has used; the test rows stay untouched.

    Args:
        task: model, data, objective.
        recipes: name -> recipe, or the path of its YAML file; at least two. Their lengths and structures may differ.
        epochs, batch_size: replace the values in every recipe.
        **options: repeats (8, or as many as the data has folds), seed, out (a new folder for the record and the
            report), checkpoint_every, device, precision, threads, engine, observer, progress: as for `lanewise.race`.

    Raises:
        InputError: the recipes cannot be compared; nothing has been written.
    """
    pairs = list(recipes.items()) if isinstance(recipes, Mapping) else recipes
    if not isinstance(pairs, (list, tuple)) or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs
    ):
        raise InputError(f"recipes is {a_type(recipes)}: must map names to recipes, or to the paths of their files")
    named = [(name, _recipe(str(name), given, epochs, batch_size)) for name, given in pairs]
    return _ask(task, Comparison(named), **options)


def ablate(
    task: Task,
    recipe: GivenRecipe,
    *,
    pairs: bool = True,
    epochs: int | None = None,
    batch_size: int | None = None,
    **options: Any,
) -> Result:
    """Measure what each technique of `recipe` contributes on `task`, alone and in pairs.

    Args:
        recipe: or the path of its YAML file.
        pairs: also remove techniques in pairs, to see which interact.
        task, epochs, batch_size, **options: as for `compare`.
    """
    return _ask(task, Ablation(_recipe("recipe", recipe, epochs, batch_size), pairs), **options)


def sweep(
    task: Task,
    recipe: GivenRecipe,
    field: str,
    values: Any,
    *,
    points: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    **options: Any,
) -> Result:
    """Which value of one field suits `recipe` on `task` best.

    Args:
        recipe: or the path of its YAML file.
        field: by the name that a race's sampler gives it: `l2`, `momentum`, `lr`, `lr.schedule`, `lr.cosine.warmup`.
        values: a list, or a range such as `lanewise.log(1e-6, 0.1)`, of which `points` values are taken (9 by default);
            or the text of either.
        task, epochs, batch_size, **options: as for `compare`. For folds: `lanewise.load(..., folds=5)`.
    """
    return _ask(task, Sweep(_recipe("recipe", recipe, epochs, batch_size), field, values, points), **options)


def _recipe(where: str, given: Any, epochs: int | None, batch_size: int | None) -> Any:
    if isinstance(given, (str, os.PathLike)):
        given = read(given)[0]
    return with_overrides(given, epochs, batch_size) if isinstance(given, Recipe) else given


def _ask(
    task: Task,
    question: Question,
    *,
    repeats: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: float = EVERY,
    device: str = "cpu",
    precision: str = "float32",
    threads: int | None = None,
    engine: str | os.PathLike[str] | None = None,
    observer: Observer | None = None,
    progress: bool | None = None,
) -> Result:
    check_task(task)
    how: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "threads": threads,
        "checkpoint_every": checkpoint_every,
    }
    settings, _ = together(lambda: SideBySideSettings(repeats, seed), lambda: check_options(**how, progress=progress))
    return begin(
        lambda options: Result(SideBySide(task, question, settings, **options)), out, engine, progress=progress,
        observer=observer, device=device, precision=precision, threads=threads, every=checkpoint_every,
    )  # fmt: skip


def recorded_question(recorded: Mapping[str, Any], where: str) -> tuple[Question, SideBySideSettings]:
    """The question of a comparison, ablation or sweep, from its `run.json`."""
    question: Question = QUESTIONS[recorded["asked"]].from_dict(recorded["question"], where)
    return question, SideBySideSettings(**recorded["settings"])


def read_answer(folder: RunFolder) -> Answer:
    """The answer of a finished run."""
    where = str(folder.verdict)
    data = read_json(folder.verdict, where)
    if str(data.get("asked")) not in ANSWERS:
        raise InputError(f"{where}: asked = {data.get('asked')!r}: must be one of {', '.join(ANSWERS)}")
    with undamaged(where):
        answer: Answer = checked(ANSWERS[data["asked"]].from_dict(data, where))
        # What has no words is damaged too: an answer without recipes, say.
        answer.sentences()
        return answer
