"""Every sampler by name: a seed draws the same again, and the replay of a killed race goes on as if never stopped."""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD
from lanewise.parts.schedules import Constant, Polynomial
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import classic
from lanewise.sampling import samplers
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.sampler import OUTSIDE, Sampler, Shared
from lanewise.sampling.samplers import SAMPLERS, check_sampler, grid, quiet
from tests.record.records import shared_url
from tests.sampling.test_sampler import SPACE, trials_of

POINTS = Recipe(
    optimizer=SGD(lr=choice(0.01, 0.1) * choice(Constant(), Polynomial(power=choice(1.0, 2.0)))),
    batch_size=integer(16, 18),
)
"""2 rates times 3 schedules, for the power applies to one of two, times 3 sizes."""


def space_for(kind: str) -> Recipe:
    return POINTS if kind == "grid" else SPACE


def told(sampler: Sampler, first: int, last: int) -> None:
    """Let candidates from `first` to before `last` end: one in three finishes, one in seven diverges."""
    for candidate in range(first, last):
        sampler.report(candidate, 1, (candidate * 7 % 11) / 10)
        ends = candidate % 3 == 0
        sampler.tell(candidate, (candidate * 5 % 13) / 10 if ends else None, diverged=not ends and candidate % 7 == 1)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_replay_draws_what_a_race_never_stopped_draws(kind: str, tmp_path: Path) -> None:
    if kind == "cmaes":
        pytest.importorskip("cmaes")
    space = space_for(kind)
    sampler = Sampler(space, 3, None, kind)
    for generation in range(2):
        sampler.ask(6, generation)
        told(sampler, 6 * generation, 6 * generation + 6)
    kept = json.loads(json.dumps(sampler.journal)), list(sampler.texts)
    following = sampler.ask(4, 2)
    assert len(set(sampler.texts)) == 16
    again = Sampler.replayed(space, 3, tmp_path / "study.db", *kept, kind=kind)
    assert again.ask(4, 2) == following
    assert len(trials_of(tmp_path / "study.db")) == 16


@pytest.mark.parametrize("space", [classic(), SPACE], ids=["classic", "conditional"])
def test_tpe_draws_what_optunas_own_draws(space: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def played() -> list[str]:
        sampler = Sampler(space, 1, None)
        for generation, size in enumerate((20, 12, 6)):
            first = len(sampler.recipes)
            sampler.ask(size, generation)
            # The last two of each generation are never told: they stay liars.
            told(sampler, first, first + size - 2)
        return sampler.texts

    ours = played()
    monkeypatch.setattr(samplers, "GenerationTPE", TPESampler)
    assert played() == ours


def test_a_sequence_goes_on_through_the_generations() -> None:
    space = Recipe(dropout=uniform(0.0, 0.8), l2=log(1e-6, 1e-2))
    sampler = Sampler(space, 0, None, "qmc")
    drawn = sampler.ask(3, 0) + sampler.ask(5, 1)
    # Of 8 points of a Sobol sequence, one lies in each eighth.
    assert sorted(int(recipe.dropout / 0.1) for recipe in drawn) == list(range(8))


def test_a_grid_is_every_choice_once_in_an_order_that_the_seed_draws() -> None:
    sampler = Sampler(POINTS, 0, None, "grid")
    assert len(set(map(str, sampler.ask(10, 0) + sampler.ask(8, 1)))) == 18
    assert grid(POINTS, 0) != grid(POINTS, 1)
    assert [t.params["batch_size"] for t in sampler.study.trials] == [r.batch_size for r in sampler.recipes]
    with pytest.raises(InputError, match=r"candidates = 19: the grid of this space has 18 points; must be no more"):
        Drawing("grid").check(POINTS, 0, 19)
    Drawing("grid").check(POINTS, 0, 18)
    with pytest.raises(InputError, match="goes with candidates, not with a budget"):
        Drawing("grid").check(POINTS, 0, None)


def test_a_range_is_no_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"l2 = log\(0.0001, 0.01\) has no points.*choice\(0.0001, 0.001, 0.01\)"):
        grid(Recipe(l2=log(1e-4, 1e-2)), 0)
    monkeypatch.setattr(samplers, "LARGEST_GRID", 1_000)
    with pytest.raises(InputError, match="more than 1,000 points"):
        grid(Recipe(batch_size=integer(1, 20_000)), 0)


def test_a_sampler_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match=r"sampler = 'tbe': must be one of tpe, gp, cmaes, qmc, random, grid"):
        Drawing("tbe")
    with pytest.raises(InputError, match=r"sampler = 3: must be one of"):
        Drawing.asked(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is not recorded with its code"):
        Drawing("own: optuna.samplers.RandomSampler")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the package cmaes: pip install cmaes"):
        check_sampler("cmaes")


def test_ones_own_sampler_draws_and_is_asked_for_again() -> None:
    seeds: list[int] = []

    def own(seed: int) -> BaseSampler:
        seeds.append(seed)
        return optuna.samplers.RandomSampler(seed=seed)

    drawing = Drawing.asked(own)
    assert drawing.sampler.startswith("own: tests.sampling.test_samplers.")
    sampler = drawing.sampler_for(SPACE, 0, None, None)
    sampler.ask(2, 0)
    sampler.ask(2, 1)
    assert len(set(seeds)) == 2
    recorded = json.loads(json.dumps(drawing.to_dict()))
    with pytest.raises(InputError, match=r"resume x: its sampler, tests.sampling.* is your own.*sampler=\.\.\.\)"):
        Drawing.recorded(recorded, "resume x")
    assert Drawing.recorded(recorded, "resume x", own) == drawing
    with pytest.raises(InputError, match=r"sampler was own: .*own when the race began, and is own: optuna"):
        Drawing.recorded(recorded, "resume x", optuna.samplers.RandomSampler(seed=1))
    with pytest.raises(InputError, match="sampler: gave a str: must give"):
        Sampler(SPACE, 0, None, "own: x", lambda seed: "tpe").ask(1, 0)  # type: ignore[arg-type,return-value]


def test_ones_own_object_keeps_its_seed() -> None:
    drawn = [Sampler(SPACE, 0, None, "own: x", optuna.samplers.RandomSampler(seed=s)).ask(3, 0) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


INSIDE = Recipe(optimizer=SGD(lr=0.1 * Polynomial(power=2.5)), dropout=0.3, batch_size=17)
OUT = Recipe(optimizer=SGD(lr=0.1 * Polynomial(power=2.5)), dropout=0.3, batch_size=64)


def test_what_is_enqueued_comes_first_with_its_parameters(tmp_path: Path) -> None:
    sampler = Sampler(SPACE, 0, tmp_path / "study.db")
    for recipe in (INSIDE, OUT, INSIDE):
        sampler.enqueue(recipe)
    assert sampler.ask(2, 0) == [INSIDE, OUT]
    assert sampler.ask(2, 1)[0] == INSIDE
    for candidate in range(4):
        sampler.tell(candidate, 0.5, diverged=False)
    sampler.write()
    inside, out, *_ = trials_of(tmp_path / "study.db")
    assert inside[:3] == (
        TrialState.COMPLETE,
        {
            "optimizer": "sgd(lr=log(0.001, 1) * choice(constant(), polynomial(power=uniform(1, 3))))",
            "optimizer.sgd.lr": 0.1,
            "optimizer.sgd.lr.schedule": "polynomial(power=uniform(1, 3))",
            "optimizer.sgd.lr.polynomial.power": 2.5,
            "dropout": 0.3,
            "batch_size": 17,
        },
        0.5,
    )
    assert out[:3] == (TrialState.FAIL, {}, None)
    assert out[4][OUTSIDE] is True
    assert out[4]["loss"] == 0.5


def test_what_lies_outside_changes_nothing_in_what_is_learnt() -> None:
    def following(enqueued: list[Recipe]) -> list[Recipe]:
        sampler = Sampler(SPACE, 0, None)
        for recipe in enqueued:
            sampler.enqueue(recipe)
        sampler.ask(len(enqueued), 0)
        for candidate in range(len(enqueued)):
            sampler.tell(candidate, 0.0, diverged=False)
        sampler.ask(20, 1)
        for candidate in range(20):
            sampler.tell(len(enqueued) + candidate, candidate * 7 % 11 / 10, diverged=False)
        return sampler.ask(4, 2)

    assert following([OUT]) == following([OUT, OUT])
    assert following([INSIDE] * 3) != following([OUT] * 3)


def test_a_replay_knows_what_was_enqueued(tmp_path: Path) -> None:
    drawing = Drawing(enqueue=(INSIDE, OUT))
    sampler = drawing.sampler_for(SPACE, 0, tmp_path / "study.db", None)
    drawn = sampler.ask(3, 0)
    data = json.loads(json.dumps({"journal": sampler.journal, "recipes": sampler.texts}))
    recorded = Drawing.recorded(json.loads(json.dumps(drawing.to_dict())), "resume x")
    assert recorded == drawing
    for killed in (data, {}):
        again = recorded.sampler_for(SPACE, 0, tmp_path / "study.db", killed)
        assert (again.recipes if killed else again.ask(3, 0)) == drawn


@pytest.mark.parametrize(
    ("enqueue", "why"),
    [((SPACE,), "has ranges; must be a recipe"), (("0.1",), "enqueue holds a str")],
)
def test_only_recipes_are_enqueued(enqueue: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        Drawing(enqueue=enqueue)


def test_more_than_are_raced_cannot_be_enqueued() -> None:
    with pytest.raises(InputError, match="candidates = 2: must be at least 3, as many as enqueue holds"):
        Drawing(enqueue=(INSIDE, OUT, OUT)).check(SPACE, 0, 2)


def studies_of(url: str, *names: str) -> dict[str, int]:
    """The number of trials of every study called so in the database, in which there may be others."""
    with quiet():
        found = {study.study_name: study.n_trials for study in optuna.get_all_study_summaries(url)}
    return {name: found[name] for name in names}


def test_a_shared_database_holds_many_studies_and_a_replay_replaces_its_own(tmp_path: Path) -> None:
    url, name = shared_url(tmp_path), f"other-{uuid.uuid4()}"
    other = Sampler(SPACE, 1, Shared(url, name))
    other.ask(3, 0)
    told(other, 0, 3)
    other.write()
    drawing = Drawing.asked(storage=url, folder=tmp_path / "race-001")
    assert str(drawing.study).startswith("race-001-")
    sampler = drawing.sampler_for(SPACE, 0, tmp_path / "study.db", None)
    sampler.ask(4, 0)
    told(sampler, 0, 4)
    sampler.write()
    data = json.loads(json.dumps({"journal": sampler.journal, "recipes": sampler.texts}))
    sampler.ask(2, 1)
    sampler.close()
    assert studies_of(url, name, str(drawing.study)) == {name: 3, drawing.study: 6}
    before = [(t.state, t.params, t.value, t.intermediate_values) for t in sampler.study.trials[:4]]

    recorded = Drawing.recorded(json.loads(json.dumps(drawing.to_dict())), "resume x", storage=url)
    again = recorded.sampler_for(SPACE, 0, tmp_path / "study.db", data)
    assert studies_of(url, name, str(drawing.study)) == {name: 3, drawing.study: 4}
    with quiet():
        found = optuna.load_study(study_name=str(drawing.study), storage=url).trials
    assert [(t.state, t.params, t.value, t.intermediate_values) for t in found] == before
    again.ask(1, 1)
    again.close()
    other.close()
    assert studies_of(url, name, str(drawing.study)) == {name: 3, drawing.study: 5}
    assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("no url", "storage: is not the URL of a database; must be such as postgresql://"),
        ("nosuch://me:secret@host/x", "must be a database such as postgresql://.*there is no driver by this name"),
        ("sqlite:////no/such/folder/x.db", "cannot be reached: unable to open database file"),
    ],
)
def test_a_database_that_is_none_is_one_line_without_a_password(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        Drawing.asked(storage=url).sampler_for(SPACE, 0, None, None)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("driver", "package"),
    [("psycopg", r"'lanewise\[postgresql\]'"), ("psycopg2", "psycopg2-binary"), ("asyncmy", "asyncmy")],
)
def test_a_missing_driver_is_named(driver: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = "mysql" if driver == "asyncmy" else "postgresql"
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(InputError, match=rf"needs the package {driver}, which is not installed: pip install {package}"):
        Drawing.asked(storage=f"{dialect}+{driver}://me:secret@host/x").sampler_for(SPACE, 0, None, None)


def test_no_record_holds_a_password() -> None:
    drawing = Drawing.asked(storage="postgresql://me:secret@host/races")
    recorded = json.dumps(drawing.to_dict())
    assert "secret" not in recorded
    with pytest.raises(InputError, match=r"is in postgresql://me@host/races, whose password is not on record"):
        Drawing.recorded(json.loads(recorded), "resume x")
    again = Drawing.recorded(json.loads(recorded), "resume x", storage="postgresql://me:new@host/races")
    assert (again.storage, again.study) == ("postgresql://me:new@host/races", drawing.study)
    with pytest.raises(InputError, match="its record is in its own folder"):
        Drawing.recorded(Drawing().to_dict(), "resume x", storage="sqlite:///x.db")
