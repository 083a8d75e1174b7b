"""Drawing from a space: the same seed draws the same, and the record can be read without us."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from lanewise.errors import InputError, WriteError
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.part import Variable
from lanewise.parts.schedules import Constant, Cosine, Polynomial
from lanewise.recipe.file import dump, load
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe, variables
from lanewise.recipe.spaces import classic
from lanewise.sampling.sampler import Sampler, generation_sizes, suggest
from lanewise.sampling.samplers import STARTUP_TRIALS, quiet

SPACE = Recipe(
    optimizer=choice(
        SGD(lr=log(1e-3, 1) * choice(Constant(), Polynomial(power=uniform(1, 3)))), Adam(lr=log(1e-4, 1e-2))
    ),
    dropout=uniform(0.1, 0.5),
    batch_size=integer(16, 18),
)


def played(seed: int, sizes: list[int], space: Recipe = SPACE, database: Path | None = None) -> list[list[Recipe]]:
    """The generations drawn when candidate n ends with the loss n."""
    sampler, generations = Sampler(space, seed, database), []
    for generation, size in enumerate(sizes):
        generations.append(sampler.ask(size, generation))
        first = sum(map(len, generations[:-1]))
        for candidate in range(first, first + size):
            sampler.tell(candidate, float(candidate), diverged=False)
    return generations


def test_the_same_seed_draws_the_same_also_where_the_sampler_has_learnt(tmp_path: Path) -> None:
    first = played(3, [STARTUP_TRIALS, 6])
    assert played(3, [STARTUP_TRIALS, 6]) == first
    assert played(3, [STARTUP_TRIALS, 6], database=tmp_path / "study.db") == first
    assert played(4, [STARTUP_TRIALS, 6])[0] != first[0]


def test_a_generation_draws_what_it_draws_whatever_came_before() -> None:
    assert played(0, [2, 5])[1] == played(0, [4, 5])[1]
    assert played(0, [5, 5])[0] != played(0, [5, 5])[1]


def test_draws_lie_in_the_space_and_are_not_all_alike() -> None:
    (recipes,) = played(0, [40])
    assert not any(recipe.is_space for recipe in recipes)
    assert {type(recipe.optimizer) for recipe in recipes} == {SGD, Adam}
    assert {recipe.batch_size for recipe in recipes} == {16, 17, 18}
    assert all(0.1 <= recipe.dropout <= 0.5 for recipe in recipes)
    assert len(set(map(str, recipes))) == 40
    rates = [recipe.optimizer.lr for recipe in recipes if isinstance(recipe.optimizer, Adam)]
    # On a logarithmic scale a half of the draws lies in the lower of two decades; on a plain one a tenth would.
    assert 0.2 < sum(rate < 1e-3 for rate in rates) / len(rates) < 0.8


def test_the_sampler_learns_from_the_scores() -> None:
    space = Recipe(dropout=uniform(0.0, 0.9))
    sampler = Sampler(space, 0, None)
    for generation in range(2):
        recipes = sampler.ask(16, generation)
        for at, recipe in enumerate(recipes):
            sampler.tell(16 * generation + at, (recipe.dropout - 0.2) ** 2, diverged=False)
    learnt = sampler.ask(16, 2)
    assert sum(abs(recipe.dropout - 0.2) < 0.2 for recipe in learnt) >= 12


def test_the_record_is_an_optuna_study(tmp_path: Path) -> None:
    sampler = Sampler(SPACE, 0, tmp_path / "study.db")
    recipes = sampler.ask(5, 0)
    sampler.report(1, 1, 2.5)
    sampler.report(1, 2, 2.0)
    sampler.report(2, 1, float("nan"))
    sampler.tell(0, 0.25, diverged=False)
    sampler.tell(1, None, diverged=False)
    sampler.tell(2, None, diverged=True)
    sampler.tell(3, 0.125, diverged=False)
    sampler.write()

    with quiet():
        study = optuna.load_study(study_name="race", storage=f"sqlite:///{tmp_path / 'study.db'}")
    trials = study.trials
    wanted = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.COMPLETE, TrialState.RUNNING]
    assert [trial.state for trial in trials] == wanted
    assert [trials[0].value, trials[3].value] == [0.25, 0.125]
    assert study.best_trial.number == 3
    assert trials[1].intermediate_values == {1: 2.5, 2: 2.0}
    assert trials[2].intermediate_values == {}
    assert [trial.user_attrs.get("diverged") for trial in trials] == [None, None, True, None, None]
    assert [load(trial.user_attrs["recipe"])[0] for trial in trials] == recipes
    assert set(trials[0].params) <= {name for name, _ in variables(SPACE)}


def trials_of(database: Path) -> list[tuple[Any, ...]]:
    """What the record holds of each trial, times excepted."""
    with quiet():
        trials = optuna.load_study(study_name="race", storage=f"sqlite:///{database}").trials
    return [(t.state, t.params, t.value, t.intermediate_values, t.user_attrs) for t in trials]


def journal_of_a_killed_race(database: Path) -> tuple[list[Any], list[str], list[tuple[Any, ...]]]:
    """(journal as JSON gives it back, recipes, trials) when it was kept; the database is then led on, and left open."""
    sampler = Sampler(SPACE, 5, database)
    sampler.ask(STARTUP_TRIALS, 0)
    for candidate in range(STARTUP_TRIALS):
        sampler.report(candidate, 1, float("nan") if candidate == 3 else candidate / 7)
        sampler.tell(candidate, None if candidate % 2 else candidate / 3, diverged=candidate == 3)
    sampler.ask(4, 1)
    sampler.report(STARTUP_TRIALS, 1, 0.1)
    sampler.write()
    kept = json.loads(json.dumps(sampler.journal)), [dump(recipe) for recipe in sampler.recipes], trials_of(database)
    sampler.report(STARTUP_TRIALS + 1, 1, 0.2)
    sampler.tell(STARTUP_TRIALS, 0.3, diverged=False)
    sampler.ask(2, 2)
    return kept


def test_a_database_that_is_ahead_is_made_anew_and_goes_on_as_one_never_killed(tmp_path: Path) -> None:
    database = tmp_path / "study.db"
    journal, recipes, trials = journal_of_a_killed_race(database)
    assert trials_of(database) != trials
    sampler = Sampler.replayed(SPACE, 5, database, journal, recipes)
    # As text, for a NaN does not equal itself.
    assert json.dumps(sampler.journal) == json.dumps(journal)
    assert trials_of(database) == trials
    sampler.tell(STARTUP_TRIALS, 0.5, diverged=False)
    again = sampler.ask(3, 2)
    sampler.close()
    assert not list(tmp_path.glob("*partial*"))

    other = tmp_path / "other.db"
    journal_of_a_killed_race(other)
    through = Sampler.replayed(SPACE, 5, other, journal, recipes)
    through.tell(STARTUP_TRIALS, 0.5, diverged=False)
    assert through.ask(3, 2) == again
    assert len(trials_of(database)) == STARTUP_TRIALS + 7


def test_a_sampler_that_draws_otherwise_is_refused_and_the_record_stays(tmp_path: Path) -> None:
    database = tmp_path / "study.db"
    journal, recipes, _ = journal_of_a_killed_race(database)
    before = trials_of(database)
    with pytest.raises(InputError, match="draws other recipes than those recorded"):
        Sampler.replayed(SPACE, 6, database, journal, recipes)
    assert trials_of(database) == before
    assert not list(tmp_path.glob("*partial*"))


def test_a_database_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        WriteError, match=r"missing/study.db: cannot be written: unable to open database file"
    ) as caught:
        Sampler(SPACE, 0, tmp_path / "missing" / "study.db")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["what?x=1 100%20 #1", 'it\'s "quoted" ü & more'])
def test_the_record_stands_in_its_folder_whatever_that_is_called(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    Sampler(Recipe(dropout=uniform(0, 0.5)), 0, folder / "study.db").ask(1, 0)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with sqlite3.connect(folder / "study.db") as connection:
        assert connection.execute("select count(*) from trials").fetchone() == (1,)
    connection.close()


def test_only_what_applies_is_drawn() -> None:
    sampler = Sampler(SPACE, 0, None)
    recipes = sampler.ask(12, 0)
    for trial, recipe in zip(sampler.study.trials, recipes, strict=True):
        given = {"optimizer", "dropout", "batch_size"}
        if isinstance(recipe.optimizer, SGD):
            given |= {"optimizer.sgd.lr", "optimizer.sgd.lr.schedule"}
            if "polynomial" in str(recipe.optimizer):
                given |= {"optimizer.sgd.lr.polynomial.power"}
        else:
            given |= {"optimizer.adam.lr"}
        assert set(trial.params) == given


def test_what_optuna_is_told_is_what_the_recipe_holds() -> None:
    sampler = Sampler(classic(), 0, None)
    (recipe,) = sampler.ask(1, 0)
    params = sampler.study.trials[0].params
    assert list(params) == ["lr", "lr.schedule", "momentum", "l2", "l1", "dropout", "norm_momentum"]
    assert str(recipe.optimizer.lr) == f"{params['lr']} * {params['lr.schedule']}"
    assert (recipe.l2, recipe.dropout) == (params["l2"], params["dropout"])


def test_options_of_any_kind_come_back_as_they_were() -> None:
    options: tuple[Any, ...] = (None, True, 1, 1.0, "5%", "own", Cosine(), SGD(lr=log(0.1, 1)))
    for option in options:
        trial = optuna.trial.FixedTrial({"x": {None: "none", True: "true"}.get(option, str(option))})
        # 1 == 1.0 == True, so the dictionary would give "true" for all three.
        if option is not True and option == 1:
            trial = optuna.trial.FixedTrial({"x": str(option)})
        found = suggest(trial, "x", choice(*options))  # type: ignore[arg-type]
        assert found == option
        assert type(found) is type(option)


def test_a_variable_of_another_kind_is_our_own_mistake() -> None:
    with pytest.raises(TypeError, match="no way to sample a Variable"):
        suggest(optuna.trial.FixedTrial({}), "x", Variable())  # type: ignore[arg-type]


def test_optuna_is_quiet_here_and_as_it_was_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        played(0, [2])
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(optuna.logging.INFO)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("candidates", "generations", "sizes"),
    [(48, 3, [16, 16, 16]), (7, 3, [3, 2, 2]), (2, 5, [1, 1]), (5, 1, [5]), (1, 1, [1])],
)
def test_generations_are_as_equal_as_can_be(candidates: int, generations: int, sizes: list[int]) -> None:
    assert generation_sizes(candidates, generations) == sizes
