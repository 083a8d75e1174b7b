import pytest

import lanewise as lw
from lanewise.recipe.language import parse
from lanewise.report.words import time_words
from lanewise.verdict.recipe_words import describe, label, learning_rate_words, peak, short, value_words

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0.1", "0.1"),
        ("0.037 * constant(warmup=5%)", "constant 0.037 after 5% warm-up"),
        ("0.2 * linear()", "linear from 0.2"),
        ("0.2 * linear(to=0.1)", "linear from 0.2 to 10%"),
        ("0.004 * exponential(to=0.01)", "exponential from 0.004 to 1%"),
        ("0.5 * staircase(beta=0.1, period=34%)", f"staircase from 0.5 {TIMES}0.1 every 34%"),
        ("0.5 * milestones(at=[50%, 75%], beta=0.2)", f"milestones from 0.5 {TIMES}0.2 at 50%, 75%"),
        ("0.5 * polynomial(power=0.9)", "polynomial from 0.5, power 0.9"),
        ("0.5 * one_cycle()", f"0.5 {TIMES} one cycle"),
        ("one_cycle(rise=20%)", "one cycle, rise 20%"),
        ("0.5 * cosine() * plateau()", f"0.5 {TIMES} cosine {TIMES} plateau"),
        ("0.1 * cosine(duration=50%) >> 0.01", "cosine from 0.1 for 50%, then 0.01"),
        ("0.1 * (cosine(duration=50%) >> 0.5)", f"0.1 {TIMES} (cosine from 1 for 50%, then 0.5)"),
    ],
)
def test_value_words(expression: str, words: str) -> None:
    assert value_words(parse(expression)) == words


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (lw.Recipe(optimizer=lw.SGD(lr=0.1)), "SGD · learning rate 0.1"),
        (
            lw.Recipe(optimizer=lw.SGD(lr=0.1, momentum=0.9, nesterov=True)),
            "SGD (Nesterov) · learning rate 0.1 · momentum 0.9",
        ),
        (
            lw.Recipe(optimizer=lw.AdamW(lr=lw.Cosine(), weight_decay=0.0)),
            "AdamW · cosine learning rate from 1 · no weight decay",
        ),
        (
            lw.Recipe(optimizer=lw.SGD(lr=0.1), dropout=0.3 * lw.Linear(), l1=1e-6, l1_step="proximal", norm="group"),
            "SGD · learning rate 0.1 · L1 1e-06 · proximal L1 · dropout linear from 0.3 · group norm",
        ),
        (
            lw.Recipe(optimizer=lw.SGD(lr=0.1), dropout=0.0, ghost=16, batch_size=128, epochs=1),
            "SGD · learning rate 0.1 · no dropout · ghost batch size 16 · batch size 128 · 1 epoch",
        ),
    ],
)
def test_describe(recipe: lw.Recipe, words: str) -> None:
    assert describe(recipe) == words


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0.1", "learning rate 0.1"),
        ("0.037 * constant(warmup=5%)", "constant learning rate 0.037 after 5% warm-up"),
        ("0.79 * cosine()", "cosine learning rate from 0.79"),
        ("0.5 * one_cycle()", f"learning rate 0.5 {TIMES} one cycle"),
        ("0.1 * cosine(duration=50%) >> 0.01", "learning rate cosine from 0.1 for 50%, then 0.01"),
    ],
)
def test_learning_rates_in_words(expression: str, words: str) -> None:
    assert learning_rate_words(parse(expression)) == words


def test_a_space_is_described_as_it_is_written() -> None:
    space = lw.classic()
    assert describe(space) == str(space)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.949, "0.95"),
        (0.9951, "0.9951"),
        (0.999, "0.999"),
        (1234.5, "1234"),
        (1e-9, "1e-09"),
        (True, "true"),
        (3, "3"),
    ],
)
def test_short(value: float, words: str) -> None:
    assert short(value) == words


def test_peak_looks_into_sequences() -> None:
    assert peak(parse("0.5 * (0.2 * cosine(duration=50%) >> 0.1)")) == pytest.approx(0.1)


def test_times_and_labels() -> None:
    assert [time_words(seconds) for seconds in (0.2, 59.6, 3599, 7200)] == [
        "0 s",
        "1 min 00 s",
        "59 min 59 s",
        "2 h 00 min",
    ]
    assert label("stochastic_depth") == "stochastic depth"
