"""What a verdict and the answers to questions say, word by word."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.schedules import Cosine
from lanewise.recipe.recipe import Recipe
from lanewise.statistics.heavy_tails import HeavyTails
from lanewise.statistics.intervals import Interval
from lanewise.statistics.power import Needed
from lanewise.statistics.score_kind import ScoreKind
from lanewise.verdict.ablation import AblationAnswer
from lanewise.verdict.answer import ComparedRecipe, Scored, Setup
from lanewise.verdict.comparison import ComparisonAnswer
from lanewise.verdict.sweep import SweepAnswer
from lanewise.verdict.techniques import Interaction, Tried, Worth
from lanewise.verdict.verdict import Baseline, Finalist, Verdict, place_words

WINNER = Recipe(optimizer=SGD(lr=0.79 * Cosine(), momentum=0.9))
OTHER = Recipe(optimizer=Adam(lr=0.001))
RUNS = np.full(8, 0.97)
LOST = np.where(np.arange(8) < 2, np.nan, 0.9)
CLOSE, FAR = Interval(0.0003, -0.0032, 0.0039, 8), Interval(0.17, 0.15, 0.19, 8)
ERROR = ScoreKind(greater_is_better=False, fraction=False)
HEADLINE = "Best recipe: SGD, cosine learning rate from 0.79 - 97.6% test accuracy"
SCORE = "Test accuracy is 97.6% (95% CI 95.7 to 98.7), from 8 new training runs on 359 held-out examples."
OTHERS = "The finalists are compared on validation examples; test examples are others, so the two can differ."
MORE_ROWS = Needed(rows=25_300)
BASE = "your baseline (Adam, 0.001)"


def winner(chance: float = 0.61, **changed: Any) -> Finalist:
    return replace(Finalist(34, WINNER, RUNS, 0.97, chance=chance), **changed)


def tied(number: int, needed: Needed | None = MORE_ROWS) -> Finalist:
    return Finalist(number, OTHER, RUNS, 0.97, CLOSE, 0.1, needed)


def worse(number: int) -> Finalist:
    return Finalist(number, OTHER, RUNS, 0.8, FAR, 0.0)


def verdict(*finalists: Finalist, lead: Interval | None = CLOSE, **more: Any) -> Verdict:
    """A race of 48 candidates by accuracy, tested on 359 examples."""
    given: dict[str, Any] = {"test_rows": 359} | more
    test = given.pop("test", Interval(0.9763, 0.957, 0.987, 8))
    return Verdict(finalists, test, lead, given.pop("metric", "accuracy"), 48, 1234, {"total": 1.5}, **given)


def test_a_tie() -> None:
    found = verdict(winner(), tied(14), tied(18), tied(25), tied(38), worse(2))
    assert found.sentences() == [
        HEADLINE,
        "Its chance of being the best of the 6 finalists is 61%.",
        "Candidates 14, 18, 25 and 38 are too close to call, so any of them could be as good.",
        SCORE,
        "The winner leads the runner-up (14) by 0.03 points (95% CI -0.32 to +0.39): too close to call.",
        "More training runs would not separate them; about 25,000 more examples probably would, if the lead is real.",
    ]
    assert str(found) == "\n".join(found.sentences())
    assert [found.to_dict()["headline"], *found.to_dict()["sentences"]] == found.sentences()
    assert [place_words(one, found) for one in found.finalists] == ["winner", *["too close to call"] * 4, "worse"]


def test_a_clear_winner() -> None:
    assert verdict(winner(0.9991), worse(14), worse(2), lead=FAR).sentences() == [
        HEADLINE,
        "Its chance of being the best of the 3 finalists is over 99%.",
        "It clearly beat every other finalist.",
        SCORE,
        "The winner leads the runner-up (14) by 17.00 points (95% CI +15.00 to +19.00): significantly better.",
    ]


def test_two_finalists() -> None:
    assert verdict(winner(0.98), worse(14), lead=FAR).sentences()[2] == "It clearly beat the other finalist."
    close = verdict(winner(), tied(14, Needed(repeats=12))).sentences()
    assert close[2] == "Candidate 14 is too close to call, so it could be as good."
    assert close[-1] == "About 12 more training runs of each would probably separate them, if the lead is real."


def test_one_finalist() -> None:
    only = verdict(winner(1.0), lead=None)
    assert only.sentences() == [HEADLINE, "It is the only finalist, so there is nothing to compare it with.", SCORE]
    late = replace(only, diverged=4, diverged_late=2)
    assert late.sentences()[1:] == [
        "It won only because 2 other candidates that came as far diverged before the end of training.",
        "It is the only finalist, so there is nothing to compare it with.",
        SCORE,
        "Of the 48 candidates, 4 diverged in the race.",
    ]


def test_a_win_because_the_others_diverged() -> None:
    gone = replace(worse(14), scores=np.full(8, np.nan))
    assert verdict(winner(0.99), gone, replace(gone, candidate=2), lead=None).sentences() == [
        HEADLINE,
        "It won only because both other finalists diverged in all 8 new training runs.",
        "Its chance of being the best of the 3 finalists is 99%.",
        "It clearly beat every other finalist.",
        SCORE,
        "On test it cannot be compared with the runner-up (14): too few training runs of both finished with a score.",
        "Candidate 14 diverged in 8 and candidate 2 diverged in 8 of 8 new training runs; a diverged run counts as the "
        "worst possible score.",
    ]


def test_a_finalist_that_diverged_in_some_runs() -> None:
    lost = replace(worse(18), scores=LOST)
    assert verdict(winner(0.97), lost, lead=FAR, diverged=3, duplicates=2).sentences()[-2:] == [
        "Of the 48 candidates, 3 diverged in the race and 2 had the same recipe as another.",
        "Candidate 18 diverged in 2 of 8 new training runs; a diverged run counts as the worst possible score.",
    ]
    by_error = verdict(winner(0.97), lost, lead=FAR, kind=ERROR).sentences()[-1]
    assert by_error.endswith("; a diverged run ranks a recipe behind those with fewer.")


@pytest.mark.parametrize(
    ("kind", "lead", "words"),
    [
        (
            ScoreKind(fraction=False), Interval(-0.0107, -0.0384, 0.0170, 8),
            "On test the runner-up scored 0.0107 higher (95% CI -0.0170 to +0.0384): too close to call.",
        ),
        (
            ScoreKind(), Interval(-0.003, -0.005, -0.001, 8),
            "On test the runner-up scored 0.30 points higher (95% CI +0.10 to +0.50): significantly better.",
        ),
        (
            ERROR, Interval(-0.0107, -0.0384, 0.0170, 8),
            "On test the runner-up scored 0.0107 lower (95% CI -0.0170 to +0.0384; lower is better): too close to "
            "call.",
        ),
        (
            ScoreKind(), Interval(0.0, -0.0032, 0.0032, 8),
            "The winner and the runner-up (14) have the same score (95% CI of the difference -0.32 to +0.32 points): "
            "too close to call.",
        ),
    ],
)  # fmt: skip
def test_the_lead_on_test(kind: ScoreKind, lead: Interval, words: str) -> None:
    said = verdict(winner(), tied(14, Needed(repeats=1)), lead=lead, kind=kind).sentences()
    assert said[4] == words
    if lead.mean < 0:
        # Chosen on validation examples, behind on test examples: why, and whom more runs would separate, is said.
        assert said[5:] == [
            OTHERS,
            "About 1 more training run of each would probably separate candidates 34 and 14, if the lead is real.",
        ]


def test_a_lead_that_only_test_shows() -> None:
    assert verdict(winner(), tied(14, None), lead=FAR).sentences()[-1] == OTHERS


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (Needed(repeats=1), "About 1 more training run of each would probably separate them, if the lead is real."),
        (
            Needed(repeats=1200, rows=3456),
            "About 1,200 more training runs of each and 3,500 more examples together would probably separate them, if "
            "the lead is real.",
        ),
        (Needed(), "No reasonable number of training runs or examples would separate them."),
    ],
)
def test_what_would_separate_them(needed: Needed, words: str) -> None:
    assert verdict(winner(), tied(14, needed)).sentences()[-1] == words


def test_chances_that_seem_to_contradict_the_intervals_are_explained() -> None:
    assert verdict(winner(0.91), worse(14), lead=FAR).sentences()[3] == (
        "The chance is below 95% all the same: it also allows for luck, and the best of several is often a lucky one."
    )
    assert verdict(winner(0.96), tied(14)).sentences()[3] == (
        "The chance is that high all the same: the comparisons are made together, so each needs a wider margin than "
        "it would alone."
    )


@pytest.mark.parametrize(
    ("own", "test", "words"),
    [
        (
            tied(48), Interval(0.0028, -0.0020, 0.0076, 8),
            ["No proven gain over your baseline (Adam, 0.001): +0.28 points (95% CI -0.20 to +0.76)."],
        ),
        (worse(48), FAR, [f"Proven gain over {BASE}: +17.00 points (95% CI +15.00 to +19.00)."]),
        (
            worse(48), CLOSE,
            [
                f"No proven gain over {BASE}: +0.03 points (95% CI -0.32 to +0.39).",
                "On validation examples the gain is proven: +17.00 points (95% CI +15.00 to +19.00).",
            ],
        ),
        (
            tied(48), Interval(-0.02, -0.03, -0.01, 8),
            [f"On test {BASE} is significantly better than the winner: +2.00 points (95% CI +1.00 to +3.00)."],
        ),
        (
            worse(48), None,
            [f"Proven gain over {BASE}: +17.00 points (95% CI +15.00 to +19.00), on validation examples."],
        ),
    ],
)  # fmt: skip
def test_a_baseline(own: Finalist, test: Interval | None, words: list[str]) -> None:
    found = verdict(winner(), tied(14), own, baseline=Baseline(48, test))
    assert found.sentences()[6:] == words
    assert place_words(own, found) == f"{'worse' if own.significant else 'too close to call'}, baseline"
    assert Verdict.from_dict(found.to_dict(), "").sentences() == found.sentences()


def test_a_baseline_that_wins() -> None:
    best = verdict(replace(winner(), recipe=OTHER), tied(14), baseline=Baseline(34))
    assert best.headline == "Best recipe: Adam, learning rate 0.001 - 97.6% test accuracy"
    assert best.sentences()[-1] == f"The best recipe is {BASE}: the race found nothing better."


def test_simple_models() -> None:
    known = {"majority class": 0.103, "linear model": 0.98, "gradient-boosted trees": 0.9}
    found = verdict(winner(), tied(14, None), references=known, reference_notes=("A note.",))
    assert found.headline == f"{HEADLINE}, which does not beat a linear model (98.0%)"
    assert found.sentences()[-2:] == [
        "Simple models on the same test examples: always guessing the majority class 10.3%, a linear model 98.0%, "
        "gradient-boosted trees 90.0%.",
        "A note.",
    ]


@pytest.mark.parametrize(
    ("metric", "kind", "test", "headline", "score"),
    [
        ("quantile 0.9", ERROR, (3.621, 3.4, 3.9), "3.621 test quantile-0.9 loss",
         "Test quantile-0.9 loss is 3.621 (95% CI 3.400 to 3.900), from 8 new training runs on 359 held-out examples; "
         "lower is better."),
        ("R2", ScoreKind(fraction=False), (0.9134, 0.9, 0.95), "0.9134 test R2",
         "Test R2 is 0.9134 (95% CI 0.9000 to 0.9500), from 8 new training runs on 359 held-out examples."),
        ("squared error", ERROR, (123.4, 110.0, 140.0), "123.4 test squared error",
         "Test squared error is 123.4 (95% CI 110.0 to 140.0), from 8 new training runs on 359 held-out examples; "
         "lower is better."),
        ("my_metric", ScoreKind(), (0.5, 0.4, 0.6), "50.0% test my_metric",
         "Test my_metric is 50.0% (95% CI 40.0 to 60.0), from 8 new training runs on 359 held-out examples."),
    ],
)  # fmt: skip
def test_other_metrics(metric: str, kind: ScoreKind, test: Any, headline: str, score: str) -> None:
    found = verdict(winner(1.0), lead=None, metric=metric, kind=kind, test=Interval(*test, 8))
    assert found.headline == f"Best recipe: SGD, cosine learning rate from 0.79 - {headline}"
    assert found.sentences()[-1] == score


def test_few_examples_that_decide_and_runs_far_out_and_zeros() -> None:
    scores = np.array([1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 0.8, 1e7])
    found = verdict(
        winner(1.0, scores=scores, zeros=0.123), lead=None, metric="RMSE", kind=ERROR,
        test=Interval(1.0, 0.9, 1.1, 8), heavy_tails=HeavyTails(4, 359, 0.312),
    )  # fmt: skip
    assert found.sentences()[3:] == [
        "Few test examples decide this score: the 4 most extreme of 359 make up 31% of all deviation from the median.",
        "Others like them may be missing from the sample, so the interval can be too narrow.",
        "Single training runs of candidate 34 scored far worse than the rest (the worst: 1.000e+07), so means and "
        "comparisons leave out each recipe's best and worst runs.",
        "12.3% of the winner's penalised weights are exactly zero.",
    ]
    assert Verdict.from_dict(found.to_dict(), "").sentences() == found.sentences()


GROUND = Setup("mlp", "digits", "accuracy", ScoreKind(), 8, None, (1078, 360), 1, {"total": 1.0})


def compared(name: str, difference: Interval | None, needed: Needed | None = None, chance: float = 0.6) -> Any:
    scored = Scored(name, WINNER, RUNS, RUNS)
    return ComparedRecipe(scored, Interval(0.97, 0.96, 0.98, 8), chance, difference, needed)


def test_a_comparison() -> None:
    answer = ComparisonAnswer(GROUND, (compared("new", None), compared("old", CLOSE, Needed(repeats=30))))
    assert answer.sentences() == [
        "Best recipe: new - 97.0% validation accuracy",
        "Its chance of being the best of the 2 recipes is 60%.",
        "old is too close to call, so it could be as good.",
        "Validation accuracy of new is 97.0% (95% CI 96.0 to 98.0), from 8 training runs on 360 validation examples "
        "each.",
        "new leads old by 0.03 points (95% CI -0.32 to +0.39): too close to call.",
        "About 30 more training runs of each would probably separate them, if the lead is real.",
    ]
    lost = replace(compared("c", FAR), scored=Scored("c", OTHER, LOST, LOST))
    known = replace(GROUND, references={"linear model": 0.98})
    clear = ComparisonAnswer(known, (compared("a", None, chance=0.999), compared("b", FAR), lost))
    assert clear.sentences() == [
        "Best recipe: a - 97.0% validation accuracy, which does not beat a linear model (98.0%)",
        "Its chance of being the best of the 3 recipes is over 99%.",
        "It clearly beat every other recipe.",
        "Validation accuracy of a is 97.0% (95% CI 96.0 to 98.0), from 8 training runs on 360 validation examples "
        "each.",
        "a leads b by 17.00 points (95% CI +15.00 to +19.00): significantly better.",
        "c diverged in 2 of 8 training runs; a diverged run counts as the worst possible score.",
        "Simple models on the same validation examples: a linear model 98.0%.",
    ]
    assert ComparisonAnswer.from_dict(clear.to_dict(), "").sentences() == clear.sentences()


def test_a_sweep() -> None:
    ranked = (compared("0.1", None), compared("0.01", CLOSE), compared("0", CLOSE), compared("1e-05", FAR))
    folds = replace(GROUND, folds=4)
    answer = SweepAnswer(folds, "l2", ("0", "1e-05", "0.01", "0.1"), ranked, True, "0.1", 0.0021)
    assert answer.sentences() == [
        "Best value: l2 = 0.1 - 97.0% validation accuracy",
        "Its chance of being the best of the 4 values is 60%.",
        "0 and 0.01 are too close to call, so any of them could be as good.",
        "Validation accuracy of 0.1 is 97.0% (95% CI 96.0 to 98.0), from 8 training runs (4 folds, drawn 2 times) on "
        "360 validation examples each.",
        "0.1 leads 0.01 by 0.03 points (95% CI -0.32 to +0.39): too close to call.",
        "The largest value within one standard error (0.21 points) of the best is 0.1: take it if you prefer more "
        "regularisation at the same score (one-standard-error rule, Breiman et al., 1984).",
        "The best value is the largest one tried, so a larger one may be better still.",
    ]
    assert SweepAnswer.from_dict(answer.to_dict(), "").sentences() == answer.sentences()


def test_an_ablation() -> None:
    without = Scored("without", OTHER, RUNS, RUNS)
    worths = (
        Worth("momentum", without, None, FAR),
        Worth("schedule", without, 0.5, FAR),
        Worth("dropout", without, None, CLOSE),
        Worth("L1", without, None, Interval(0.0, 0.0, 0.0, 8)),
        Worth("mixup", without, None, FAR.negated),
    )
    pairs = (Interaction("momentum", "schedule", FAR.negated), Interaction("L1", "dropout", CLOSE))
    tried = (Tried("momentum", (1.0, 2.0, 5.0), (0.1, 0.2, 0.3), 2), Tried("schedule", (1.0, 0.5), (0.3, 0.2), 0))
    score = Interval(0.97, 0.96, 0.98, 8)
    answer = AblationAnswer(GROUND, Scored("the recipe", WINNER, RUNS, RUNS), score, worths, pairs, tried)
    assert answer.sentences() == [
        "Proven to help: momentum and schedule - 97.0% validation accuracy",
        "Validation accuracy of the whole recipe is 97.0% (95% CI 96.0 to 98.0), from 8 training runs on 360 "
        "validation examples each.",
        "Proven to help: momentum +17.00 points (95% CI +15.00 to +19.00); schedule (re-tuned) +17.00 points (95% CI "
        "+15.00 to +19.00).",
        "Proven to hurt: mixup -17.00 points (95% CI -19.00 to -15.00).",
        "Too close to call: dropout.",
        "No effect: without L1, every validation example gets the same score.",
        "Pairs: momentum and schedule overlap, -17.00 points (95% CI -19.00 to -15.00).",
        "Without momentum, the best of 3 learning rates (1 to 5 times the recipe's) is 5 times the recipe's; a higher "
        "one may be better still.",
        "Without schedule, the best of 2 learning rates (0.5 to 1 times the recipe's) is the recipe's own.",
    ]
    assert AblationAnswer.from_dict(answer.to_dict(), "").sentences() == answer.sentences()
    nothing = replace(answer, worths=worths[2:4], interactions=pairs[1:])
    assert nothing.headline == "No technique is proven to help - 97.0% validation accuracy"
    assert "No pair of techniques clearly depends on each other." in nothing.sentences()
