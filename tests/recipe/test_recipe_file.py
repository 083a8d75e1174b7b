"""Recipes and spaces as YAML: exactly the same both ways, and every mistake told in one line."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.optimizers import SGD, Adam
from lanewise.parts.schedules import Constant, Cosine, Exponential, Linear, Polynomial, Staircase, Warmup
from lanewise.printable import printable
from lanewise.recipe.file import dump, from_dict, load, read, save, to_dict
from lanewise.recipe.ranges import choice, integer, log, uniform
from lanewise.recipe.recipe import Recipe
from lanewise.recipe.spaces import KINDS, Facts, classic, portfolio, suited
from tests.recipe.recipe_draws import PARTS, complaint, named, parts, recipes

SPACE = Recipe(
    optimizer=choice(
        SGD(lr=log(1e-3, 1) * choice(Constant(), Polynomial(power=uniform(0.5, 3.0))), momentum=uniform(0.0, 0.95)),
        Adam(lr=log(1e-300, 1e-2) * (Warmup("5%") >> Cosine())),
    ),
    l2=choice(0.0, log(1e-6, 1e-2)),
    dropout=0.3 * Linear(to=uniform(0, 1)),
    ghost=integer(2, 64),
    norm=choice("own", "layer"),
)


def refusal(text: str) -> str:
    """The message with which the file `text` is refused: one line that names the file."""
    with pytest.raises(InputError) as caught:
        load(text, "my.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("my.yaml: ")
    return message


def body(line: str) -> str:
    """A file with `line` after the version."""
    return f"lanewise: 1\n{line}\n"


def same(recipe: Recipe) -> bool:
    """Whether `recipe` is read back as it was, and written again the same."""
    text = dump(recipe)
    found, task = load(text)
    # By repr too, which tells 1 from 1.0 and 0.0 from -0.0.
    return found == recipe and repr(found) == repr(recipe) and dump(found) == text and task == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(recipes())
def test_a_recipe_is_read_as_it_was_written(recipe: Recipe) -> None:
    assert not recipe.is_space
    assert same(recipe)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(recipes(space=True))
def test_a_space_is_read_as_it_was_written(space: Recipe) -> None:
    assert same(space)


@pytest.mark.parametrize("kind", PARTS, ids=named)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_part_is_read_as_it_was_written(kind: type, data: st.DataObject) -> None:
    part = data.draw(parts(kind, depth=1, space=True))
    assert same(Recipe(optimizer=part) if kind.__module__.startswith("lanewise.parts.optimizers") else Recipe(l2=part))


EVERYTHING = Facts(
    rows=1_000,
    pictures=True,
    smooths=True,
    mixes=True,
    dropout=(0.1,),
    depth=(0.1,),
    norm_momentum=(0.1,),
    converts=True,
)
MADE = [suited(EVERYTHING.of_kind(kind)) for kind in KINDS]


@pytest.mark.parametrize("space", [SPACE, classic(), *MADE, *portfolio(EVERYTHING).values()])
def test_spaces_with_everything_in_them(space: Recipe) -> None:
    assert same(space)


@pytest.mark.parametrize("number", [1e-300, 5e-324, 1.7e308, 1e16, 1e-5, 0.1 + 0.2, 1 / 3, 0, 1, 1.0, 10**15])
def test_numbers_keep_their_digits_and_their_kind(number: float) -> None:
    found = load(dump(Recipe(l2=number)))[0].l2
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize("recipe", [Recipe(l2=-0.0), Recipe(optimizer=SGD(0.1 * Warmup(shape=Linear(to=0))))])
def test_equal_is_not_enough(recipe: Recipe) -> None:
    assert repr(load(dump(recipe))[0]) == repr(recipe)


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    recipe = Recipe(
        optimizer=SGD(lr=np.float64(0.1) * Cosine()), l2=np.float64(1e-4), dropout=uniform(np.float64(0.1), 0.5)
    )
    assert load(dump(recipe))[0] == recipe


def test_defaults_are_left_out_but_for_what_says_how_long() -> None:
    assert to_dict(Recipe()) == {
        "optimizer": "sgd(lr=0.1 * cosine(warmup=5%), momentum=0.9)",
        "batch_size": 64,
        "epochs": 20,
    }
    assert from_dict({}) == Recipe()
    assert from_dict({"l2": 0}) == Recipe(l2=0)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("l2: 1e-3", "l2", 1e-3),  # which YAML reads as text
        ("l2: '0.001'", "l2", 1e-3),
        ("l2: 1.0e-3", "l2", 1e-3),
        ("l2: 0.001 * linear()", "l2", 0.001 * Linear()),
        ("dropout: null", "dropout", None),
        ("dropout: none", "dropout", None),
        ("dropout: ~", "dropout", None),
        ("l1_step: proximal", "l1_step", "proximal"),
        ("l1_step: 'proximal'", "l1_step", "proximal"),
        ("optimizer: sgd(0.1)  # the rate", "optimizer", SGD(0.1)),
        ("optimizer: >\n  sgd(lr=log(1e-3, 1)\n  * linear())", "optimizer", SGD(log(1e-3, 1) * Linear())),
        (
            "optimizer: adam(lr=0.1 * exponential(to=0.01, warmup=5%))",
            "optimizer",
            Adam(0.1 * Exponential(to=0.01, warmup="5%")),
        ),
        ("optimizer: sgd(lr=staircase(period=3ep))", "optimizer", SGD(Staircase(period="3ep"))),
        ("norm: choice(own, layer)", "norm", choice("own", "layer")),
        ("batch_size: integer(16, 64)", "batch_size", integer(16, 64)),
    ],
)
def test_reads_what_a_person_writes(line: str, field: str, value: Any) -> None:
    assert getattr(load(body(line))[0], field) == value


def test_the_task_is_read_and_written() -> None:
    text = dump(SPACE, {"data": "digits", "model": "mlp:256"})
    assert load(text) == (SPACE, {"data": "digits", "model": "mlp:256"})
    assert load(body("task: {data: digits}"))[1] == {"data": "digits"}
    assert load(body("task:"))[1] == {}


@pytest.mark.parametrize(
    ("line", "because"),
    [
        ("l3: 1", "unknown field 'l3'; allowed: optimizer, l2, l1, "),
        ("learning_rate: 1", "unknown field 'learning_rate'; allowed: optimizer, l2, l1, "),
        ("1: 2", "unknown field 1"),
        ("drop_out: 0.1", "(did you mean dropout?)"),
        ("ünïcode: 1", "unknown field 'ünïcode'"),
        ("l2: ['0.1']", "l2: must be a number, true, false, null or an expression, not a list"),
        ("l2: {low: 1}", "l2: must be a number, true, false, null or an expression, not a dict"),
        ("l2: 2026-11-20", "not a date"),
        ("l2: !!binary YWJj", "not a bytes"),
        ("l2: !!set {a}", "not a set"),
        ("l2: -1", "Recipe.l2 = -1: must be a number in [0, inf)"),
        ("l2: true", "Recipe.l2 = True: must be a number"),
        ("l2: null", "Recipe.l2 = None: must be a number"),
        ("l2: .nan", "Recipe.l2 = nan: must be a number"),
        ("l2: .inf", "Recipe.l2 = inf: must be a number"),
        ("l2: ''", "l2: cannot read '': an expression is a number or a call"),
        ("l2: '1,5'", "Recipe.l2 = (1, 5): must be a number in [0, inf)"),
        ("dropout: 1", "Recipe.dropout = 1: must be a number in [0, 1)"),
        ("dropout: 5%", "Recipe.dropout = '5%': must be a number in [0, 1)"),
        ("dropout: uniform(0, 1)", "Recipe.dropout = 1: must be a number in [0, 1)"),
        ("dropout: uniform(0.5, 0.1)", "dropout: uniform(0.5, 0.1): the range is upside down"),
        ("epochs: 0", "Recipe.epochs = 0: must be an integer in [1, inf)"),
        ("epochs: 1.5", "Recipe.epochs = 1.5: must be an integer"),
        ("epochs: linear()", "Recipe.epochs = linear(): cannot change with the step"),
        ("batch_size: uniform(16, 128)", "must be an integer in [1, inf)"),
        ("batch_size: log(16, 128)", "must be an integer in [1, inf)"),
        ("optimizer: 0.1", "Recipe.optimizer = 0.1: must be an optimizer such as sgd(lr=0.1)"),
        ("optimizer: cosine()", "must be an optimizer such as sgd(lr=0.1)"),
        ("optimizer: choice(sgd(), 0.1)", "must be an optimizer such as sgd(lr=0.1)"),
        ("optimizer: sgd", "optimizer: cannot read 'sgd': sgd needs parentheses: sgd()"),
        ("optimizer: sgd(lr=-0.1)", "optimizer: SGD.lr = -0.1: must be a number in [0, inf)"),
        ("optimizer: addam(lr=0.1)", "unknown word 'addam' (did you mean adam?)"),
        ("optimizer: sgd(lr=0.1 * cosine(warmup=5))", "optimizer: Cosine.warmup = 5: must be a share of the run"),
        ("norm: no", "Recipe.norm = False: must be one of own, batch, layer, group, identity"),
        ("norm: Batch", "(did you mean batch?)"),
        ("norm: cosine", "cosine needs parentheses"),
        ("l2: 1\nl2: 2", "'l2' is given twice"),
        ("task: {model: mlp, code: x.py}", "may hold the names 'data' and 'model' only"),
        ("task: {model: 1}", "each a text; found {'model': 1}"),
        ("task: digits", "may hold the names 'data' and 'model' only"),
        ("task: []", "may hold the names 'data' and 'model' only"),
        ("l2: !!python/object/apply:os.system ['touch executed']", "could not determine a constructor for the tag"),
        ("optimizer: !!python/name:os.system", "could not determine a constructor for the tag"),
        ("l2: !mine 1", "could not determine a constructor for the tag"),
        ("l2: !!int x", "not readable as YAML: ValueError"),
        ("l2: !!bool x", "not readable as YAML: KeyError"),
        ("l2: !!timestamp x", "not readable as YAML: AttributeError"),
        ("l2: 2026-99-99", "not readable as YAML: ValueError"),
        ("l2: 0x_", "not readable as YAML: ValueError"),
        ("l2: 1" + 5000 * "0", "not readable as YAML: ValueError"),
        ("l2: &x 1\nl1: *x", "aliases are not allowed"),
        ("l2: [1, 2", "not readable as YAML: ParserError"),
        ("\tl2: 1", "not readable as YAML: ScannerError"),
        ("l2: 'a", "not readable as YAML: ScannerError"),
        ("? [a]\n: 1", "found unhashable key"),
        ("l2: \0", "not readable as YAML: ReaderError"),
        ("---\nlanewise: 1", "expected a single document"),
        ("l2: " + "[" * 3000, "not readable as YAML: "),
        ("l2: " + "[" * 3000 + "]" * 3000, "not readable as YAML: RecursionError"),
        ("l2: " + "{a: " * 3000 + "}" * 3000, "not readable as YAML: RecursionError"),
        ("l2: " + "(" * 5000, "l2: cannot read '(((("),
        ("l2: " + "-" * 900 + "1", "l2: cannot read '----"),
    ],
)
def test_says_what_is_wrong_and_what_is_allowed(
    line: str, because: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(body(line))
    assert because in message
    assert len(message) < 1000
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("field", ["l2", "epochs"])
def test_a_number_too_large_for_a_float_is_refused(field: str) -> None:
    refusal(body(f"{field}: 1{400 * '0'}"))


@pytest.mark.parametrize("field", ["batch_size", "epochs", "ghost"])
def test_a_whole_number_is_an_integer(field: str) -> None:
    refusal(body(f"{field}: 64.0"))


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "must be a YAML mapping that starts with 'lanewise: 1'"),
        ("just text", "must be a YAML mapping"),
        ("[1, 2]", "must be a YAML mapping"),
        ("l2: 1", "lanewise: None is not a version this release reads; allowed: 1"),
        ("lanewise: 2", "lanewise: 2 is not a version this release reads; allowed: 1"),
        ("lanewise: '1'", "lanewise: '1' is not a version"),
        ("lanewise: true", "lanewise: True is not a version"),
        ("lanewise: 1.0", "lanewise: 1.0 is not a version"),
        ("\ud800", "not readable as YAML: ReaderError"),
    ],
)
def test_a_file_of_another_kind_is_refused(text: str, because: str) -> None:
    assert because in refusal(text)


def test_a_bomb_of_aliases_does_not_go_off() -> None:
    levels = [f"a{level}: &a{level} [{', '.join(10 * [f'*a{level - 1}'])}]" for level in range(1, 12)]
    tracemalloc.start()
    try:
        assert "aliases are not allowed" in refusal(body("\n".join(["a0: &a0 [x]", *levels, "l2: *a11"])))
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab1 \n\t:-[]{},'\"&*!|>%@`?#~<=.é\0"), max_size=30))
def test_garbage_is_refused_in_one_line(text: str) -> None:
    for whole in (text, body(text)):
        assert "\n" not in complaint(load, whole, "my.yaml")


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from([*Recipe.__dataclass_fields__, "task"]) | st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats() | st.text(max_size=5) | st.dates(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_values_of_any_kind_are_read_or_refused_in_one_line(data: dict[str, Any]) -> None:
    text = yaml.safe_dump({"lanewise": 1, **data}, allow_unicode=True)
    assert "\n" not in complaint(load, text, "my.yaml")


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "sub folder ü.yaml"
    save(SPACE, path, {"model": "mlp"})
    assert read(path) == (SPACE, {"model": "mlp"})
    assert path.read_text(encoding="utf-8").startswith("lanewise: 1\noptimizer: choice(sgd(")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + dump(SPACE).replace("\n", "\r\n").encode())
    assert read(path)[0] == SPACE


@pytest.mark.parametrize(
    ("name", "content", "because"),
    [
        ("missing.yaml", None, "no such recipe file"),
        (".", None, "cannot be read: IsADirectoryError"),
        ("a\0b", None, "cannot be read: ValueError"),
        ("latin.yaml", b"lanewise: 1 # \xe9", "cannot be read: UnicodeDecodeError"),
        ("wrong.yaml", b"lanewise: 1\nl2: -1", "Recipe.l2 = -1: must be a number in [0, inf)"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, content: bytes | None, because: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(printable(f"{path}: "))
    assert because in str(caught.value)
    assert "\n" not in str(caught.value)
