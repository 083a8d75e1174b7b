"""Recipes side by side: scored as alone, recorded, resumed, and answered."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lanewise as lw
from lanewise.api.questions import read_answer
from lanewise.base import files
from lanewise.cli.stopping import resumable
from lanewise.errors import InputError, WriteError
from lanewise.lanes.training.cohort import Cohort
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Cosine
from lanewise.questions.ablation import Ablation
from lanewise.questions.comparison import Comparison
from lanewise.questions.question import Question
from lanewise.recipe.recipe import Recipe
from lanewise.record.folder import RunFolder
from lanewise.train import train
from lanewise.verdict.ablation import AblationAnswer
from lanewise.verdict.comparison import ComparisonAnswer
from tests.questions.side_by_side import RECIPE, on_record, run_of, task

PLAIN = Recipe(optimizer=SGD(lr=0.1), batch_size=12, epochs=3)
STUCK = Recipe(optimizer=SGD(lr=0.0), batch_size=12, epochs=1)
APART = replace(RECIPE, optimizer=SGD(lr=0.1 * Cosine(), momentum=0.5), dropout=None)
STRUCTURES = {
    "compare": [RECIPE, PLAIN, STUCK],
    "ablate": [APART, replace(APART, norm="identity"), replace(APART, dropout=0.0),
               replace(APART, dropout=0.0, norm="identity")],
}  # fmt: skip
QUESTIONS: dict[str, Callable[[], Question]] = {
    "compare": lambda: Comparison({"good": RECIPE, "plain": PLAIN, "stuck": STUCK}),
    "ablate": lambda: Ablation(APART),
}


@pytest.fixture(scope="module", params=QUESTIONS)
def cut(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path]]:
    """Copies of a run's folder before each file was renamed; the last one is finished."""
    place = tmp_path_factory.mktemp(request.param)
    seen: list[Path] = []
    rename = os.replace

    def copying(source: str, target: Path) -> None:
        seen.append(place / f"{len(seen):03d}")
        shutil.copytree(place / "run", seen[-1])
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", copying)
        run_of(QUESTIONS[request.param](), STRUCTURES[request.param], RunFolder(place / "run")).run()
    begun = [path for path in seen if (path / "run.json").exists() and not (path / "verdict.json").exists()]
    return request.param, [*begun, place / "run"]


def test_a_run_that_was_cut_off_ends_as_if_it_never_was(cut: tuple[str, list[Path]], tmp_path: Path) -> None:
    asked, folders = cut
    *places, whole = folders
    assert len(places) > 10
    for number in np.linspace(len(places) // 4, len(places) - 2, 2).astype(int):
        copy = Path(shutil.copytree(places[number], tmp_path / str(number)))
        given = task()
        given.source = replace(given.source, name="elsewhere.npz")
        # Its data may be named in another way than it was.
        result = lw.resume(copy, given)
        assert result.to_dict()["asked"] == asked  # type: ignore[union-attr]
        there, expected = on_record(copy), on_record(whole)
        # The run that was resumed has a report, the other was not asked for one.
        assert there.pop("files") == sorted([*expected.pop("files"), "report.html"])
        assert there == expected


def test_a_finished_run_is_read_again(cut: tuple[str, list[Path]]) -> None:
    asked, folders = cut
    folder = RunFolder.reopened(folders[-1])
    assert folder.asked == asked
    answer = read_answer(folder)
    assert answer.to_dict()["asked"] == asked
    with pytest.raises(InputError, match=r"is finished: .*validation examples"):
        lw.resume(folders[-1], task())


def test_an_answer_whose_report_has_no_room_is_not_lost(
    cut: tuple[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, (*places, whole) = cut
    run = Path(shutil.copytree(places[-2], tmp_path / "run"))

    def full(*_: Any) -> None:
        raise WriteError("report.html: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lanewise.report.page.answers.write", full)
        with pytest.raises(InputError, match=r"report.html: .*; once that is mended"), resumable(run, as_json=True):
            lw.resume(run, task())
    shown = json.loads(capsys.readouterr().out)
    assert shown["asked"] == asked
    assert not (run / "verdict.json").exists(), "or nobody could write the report any more"
    monkeypatch.setattr(Cohort, "advance", lambda *_: pytest.fail("everything is trained"))
    answer = lw.resume(run, task()).to_dict()  # type: ignore[union-attr]
    assert answer["recipe" if asked == "ablate" else "recipes"] == shown["recipe" if asked == "ablate" else "recipes"]
    assert (run / "report.html").exists()
    assert (run / "traces.parquet").read_bytes() == (whole / "traces.parquet").read_bytes()


def test_a_full_disk_leaves_the_checkpoint_before_it(cut: tuple[str, list[Path]], tmp_path: Path) -> None:
    asked, (*_, whole) = cut
    folder, write, left = RunFolder(tmp_path / "run"), files.os.replace, [8]

    def filling(source: str, target: Path) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError(28, "No space left on device")
        write(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", filling)
        with pytest.raises(WriteError, match=r"checkpoints/.*: cannot be written: No space left on device"):
            run_of(QUESTIONS[asked](), STRUCTURES[asked], folder).run()
    assert folder.checkpoints.newest(pytest.fail) is not None
    lw.resume(folder.path, task())
    there, expected = on_record(folder.path), on_record(whole)
    assert there.pop("files") == sorted([*expected.pop("files"), "report.html"])
    assert there == expected


def test_what_only_a_race_has_is_refused(cut: tuple[str, list[Path]]) -> None:
    asked, folders = cut
    with pytest.raises(InputError, match=f"storage: goes with a race; this run is of lanewise {asked}"):
        lw.resume(folders[-2], task(), storage="sqlite:///x.db")


def test_scores_are_those_of_the_recipe_trained_alone() -> None:
    run = run_of(QUESTIONS["compare"](), STRUCTURES["compare"])
    answer = run.run()
    assert isinstance(answer, ComparisonAnswer)
    alone = train(task(), PLAIN, seed=1, repeat=run.repeats[0])
    assert alone.validation is not None
    loss, score = alone.validation
    (mine,) = [one.scored for one in answer.compared if one.scored.name == "plain"]
    # The model's own dropout of 0.1 draws from elsewhere when it is trained alone.
    assert mine.losses[0] == pytest.approx(loss, abs=0.1)
    assert mine.scores[0] == pytest.approx(score, abs=0.1)
    assert answer.compared[-1].scored.name == "stuck"
    assert answer.compared[-1].significant
    assert sum(one.chance for one in answer.compared) == pytest.approx(1)


def test_repeats_are_none_of_a_race_and_none_of_another_question() -> None:
    taken = [set(run_of(make(), STRUCTURES[asked]).repeats) for asked, make in QUESTIONS.items()]
    assert min(map(min, taken)) >= 10_000
    assert not taken[0] & taken[1]


def test_an_ablation_takes_away_what_there_is_and_re_tunes_on_other_repeats() -> None:
    run = run_of(QUESTIONS["ablate"](), STRUCTURES["ablate"])
    answer = run.run()
    assert isinstance(answer, AblationAnswer)
    names = {"schedule", "momentum", "batch norm", "dropout", "L2"}
    assert {worth.technique for worth in answer.worths} == names
    assert len(answer.interactions) == len(names) * (len(names) - 1) // 2
    assert {one.technique for one in answer.tried} == {"schedule", "momentum", "batch norm"}
    main, rates, *tuned = run.done
    assert not set(main.phase.repeats) & set(rates.phase.repeats)
    assert all(one.phase.repeats == main.phase.repeats for one in tuned)
    for worth in answer.worths:
        assert worth.difference.mean == pytest.approx((answer.base.scores - worth.scored.scores).mean())
    scores = dict(zip([entry.name for entry in main.phase.entries], main.scores.metric, strict=True))
    for one in answer.interactions:
        both = scores.get(f"without {one.first} and {one.second}")
        assert both is not None
        apart = scores["the recipe"] - scores[f"without {one.first}"] - scores[f"without {one.second}"] + both
        assert one.difference.mean == pytest.approx(apart.mean())


def test_an_ablation_without_pairs() -> None:
    run = run_of(Ablation(APART, pairs=False), STRUCTURES["ablate"])
    assert not any(" and " in entry.name for entry in run.question.phase([]).entries)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ({"a": RECIPE}, "compare: 1 recipe given; must be at least 2"),
        ([("a", RECIPE), ("a", PLAIN)], "recipe name 'a': stands twice"),
        ({"a": RECIPE, "b": RECIPE}, "b: is the same recipe as a"),
        ({"a": RECIPE, "b": replace(PLAIN, l2=lw.log(1e-3, 1))}, "b: has ranges in it, so it is a space"),
        ({"a": RECIPE, "b": 5}, "b: is an int; must be a recipe"),
        ({"a": RECIPE, "": PLAIN}, "recipe name '': must be a text"),
        ({"a": RECIPE, "big": replace(PLAIN, batch_size=500)}, "big: batch_size = 500: there are 72 training rows"),
    ],
)
def test_what_cannot_be_compared_is_refused(recipes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        lw.compare(task(), recipes, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_recipe_with_nothing_to_take_away_is_refused() -> None:
    plain = lw.Task(lambda: lw_linear(), (task().source.x, task().source.y))
    with pytest.raises(InputError, match="recipe: has no technique that can be taken away"):
        lw.ablate(plain, Recipe(optimizer=SGD(lr=0.1), batch_size=12))


def lw_linear() -> Any:
    from torch import nn

    return nn.Linear(6, 3)


def test_where_all_diverge_it_is_said() -> None:
    wild = replace(PLAIN, optimizer=SGD(lr=1e30))
    wilder = replace(PLAIN, optimizer=SGD(lr=1e35))
    with pytest.raises(InputError, match="every recipe diverged in every training run"):
        run_of(Comparison({"a": wild, "b": wilder}), [wild]).run()
