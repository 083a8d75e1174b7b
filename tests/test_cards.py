"""The cards under docs/cards: complete, true to the code, and every block in them runs."""

import dataclasses
import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import lanewise
from docs.plots import __main__ as plots
from docs.plots.style import BACKGROUNDS, COLOURS, contrast
from lanewise.parts import norm
from lanewise.parts.optimizers import OPTIMIZERS
from lanewise.parts.schedules import SCHEDULES
from lanewise.parts.schedules.shape import Shape
from lanewise.recipe.file import dump, load
from lanewise.recipe.language import parse
from lanewise.recipe.recipe import Recipe

FOLDER = Path(__file__).parents[1] / "docs" / "cards"
CARDS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"}
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")

HEADINGS = [
    "Formula", "Worked numbers", "Defaults", "Interacts with", "Helps when", "Does not help when", "Plain loop",
    "In a recipe", "Source",
]  # fmt: skip
LONGEST_CARD, LONGEST_LOOP = 90, 20  # lines that are not empty

# What is no schedule, optimizer or normalisation and must have a card too: a name and where it comes from.
OTHERS = {
    "Schedule": "lanewise.parts.schedules", "Product": "lanewise.parts.schedules",
    "Sequence": "lanewise.parts.schedules", "Shape": "lanewise.parts.schedules",
    "LRScheduler": "lanewise.bridges.torch_schedule", "TorchOptimizer": "lanewise.bridges.torch_optimizer",
    "role_groups": "lanewise.bridges.torch_optimizer", "Penalty": "lanewise.bridges.torch_penalties",
    "penalty_gradient": "lanewise.parts.penalties", "proximal_l1": "lanewise.parts.penalties",
    "decayed": "lanewise.parts.penalties", "strength": "lanewise.parts.penalties",
    "penalty_value": "lanewise.parts.penalties",
    "sparsity": "lanewise.parts.penalties", "roles": "lanewise.parts.roles", "Role": "lanewise.parts.roles",
    "Dropout": "lanewise.parts.dropout", "dropout": "lanewise.parts.dropout",
    "StochasticDepth": "lanewise.parts.stochastic_depth", "depth_rates": "lanewise.parts.stochastic_depth",
    "smoothed_cross_entropy": "lanewise.parts.smoothing", "mixing_weight": "lanewise.parts.mixup",
    "mix": "lanewise.parts.mixup", "mixed_loss": "lanewise.parts.mixup", "cross_entropy": "lanewise.parts.losses",
    "half_sum": "lanewise.parts.losses", "mean": "lanewise.parts.losses", "half_mean": "lanewise.parts.losses",
    "clipped": "lanewise.parts.clipping", "gradient_norm": "lanewise.parts.clipping",
    "StoppingState": "lanewise.parts.early_stopping", "early_stopping": "lanewise.parts.early_stopping",
    "lora": "lanewise.parts.lora", "merge_lora": "lanewise.parts.lora", "save_lora": "lanewise.parts.lora",
    "ParameterGroup": "lanewise.parts.groups", "times": "lanewise.parts.groups",
    "layer_depths": "lanewise.parts.groups", "Recipe": "lanewise.recipe.recipe",
}  # fmt: skip
OWNERS: dict[str, Any] = {
    **{part.__name__: part for part in (*SCHEDULES, *OPTIMIZERS)},
    **{name: getattr(norm, name) for name in norm.__all__},
    **{name: getattr(importlib.import_module(module), name) for name, module in OTHERS.items()},
}


@cache
def sections(card: str) -> dict[str, str]:
    """The text under each heading of the second level."""
    _, *parts = re.split(r"^## ", CARDS[card], flags=re.MULTILINE)
    return {heading: text for heading, _, text in (part.partition("\n") for part in parts)}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of `language` in `text`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run(card: str, heading: str) -> list[dict[str, Any]]:
    """The names that each Python block of a section leaves behind; every block starts from nothing."""
    spaces = []
    for block in blocks(sections(card)[heading], "python"):
        space: dict[str, Any] = {"__name__": f"card {card}"}
        above = "\n" * CARDS[card].partition(block)[0].count("\n")  # so that errors show the card's own lines
        exec(compile(above + block, str(FOLDER / f"{card}.md"), "exec"), space)
        spaces.append(space)
    return spaces


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row in `text`, without the rows that make the head."""
    lines = re.findall(r"^\|(.+)\|$", text, flags=re.MULTILINE)
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    ruler = [index for index, row in enumerate(rows) if set("".join(row)) <= set("-: ")]
    heads = {*ruler, *(index - 1 for index in ruler)}
    return [row for index, row in enumerate(rows) if index not in heads]


def stated_defaults(card: str) -> dict[str, str]:
    """`Owner.field` -> the default in the table of a card's section Defaults, both without backticks."""
    rows = table_rows(sections(card)["Defaults"])
    return {row[0].strip("`"): row[1].strip("`") for row in rows}


def default_of(where: str) -> Any:
    """The default in the code of a dataclass field or an argument, given as `Owner.field`."""
    owner_name, _, name = where.partition(".")
    owner = OWNERS[owner_name]
    if dataclasses.is_dataclass(owner):
        return next(item.default for item in dataclasses.fields(owner) if item.name == name)
    return inspect.signature(owner).parameters[name].default


@pytest.mark.parametrize("card", CARDS)
def test_a_card_has_its_sections_in_order_and_stays_short(card: str) -> None:
    text = CARDS[card]
    assert list(sections(card)) == HEADINGS
    assert re.match(r"# .+\n\n[A-Z`].+", text), "a title, then one sentence"
    assert len([line for line in text.splitlines() if line]) <= LONGEST_CARD
    assert max(map(len, text.splitlines())) <= 140, "long lines"
    assert f"](plots/{card}.svg)" in sections(card)["Formula"]


@pytest.mark.parametrize("card", CARDS)
def test_the_worked_numbers_hold(card: str) -> None:
    written = blocks(sections(card)["Worked numbers"], "python")
    assert written
    assert all("assert " in block for block in written)
    run(card, "Worked numbers")


@pytest.mark.parametrize("card", CARDS)
def test_the_plain_loop_runs(card: str) -> None:
    (written,) = blocks(sections(card)["Plain loop"], "python")
    assert len([line for line in written.splitlines() if line]) <= LONGEST_LOOP
    assert "for " in written
    run(card, "Plain loop")


@pytest.mark.parametrize("card", CARDS)
def test_yaml_and_python_give_the_same_recipe(card: str) -> None:
    text = sections(card)["In a recipe"]
    written = blocks(text, "yaml")
    if not written:
        assert "Not a field of a recipe" in text
    recipes = [space["recipe"] for space in run(card, "In a recipe")]
    assert [load(block)[0] for block in written] == recipes
    assert [load(dump(recipe))[0] for recipe in recipes] == recipes


@pytest.mark.parametrize("card", CARDS)
def test_no_block_stands_where_no_test_runs_it(card: str) -> None:
    tested = sum(len(blocks(sections(card)[heading], "python")) for heading in ("Worked numbers", "Plain loop"))
    tested += len(blocks(sections(card)["In a recipe"], "(?:python|yaml)"))
    assert CARDS[card].count("```") == 2 * (tested + len(blocks(CARDS[card], "(?:text|sh)")))


@pytest.mark.parametrize("card", CARDS)
def test_the_defaults_are_those_of_the_code(card: str) -> None:
    for where, stated in stated_defaults(card).items():
        found = default_of(where)
        if stated == "required":
            assert found in (inspect.Parameter.empty, dataclasses.MISSING), where
        else:
            assert parse(stated) == found, where
            assert isinstance(parse(stated), bool) == isinstance(found, bool), where


def test_every_number_of_every_part_has_a_default_on_a_card() -> None:
    stated = {where for card in CARDS for where in stated_defaults(card)}
    shared = {item.name for item in dataclasses.fields(Shape)}
    wanted = {f"Shape.{name}" for name in shared} | {f"Recipe.{item.name}" for item in dataclasses.fields(Recipe)}
    for part in (*SCHEDULES, *OPTIMIZERS):
        left_out = shared if issubclass(part, Shape) else set()
        wanted |= {f"{part.__name__}.{item.name}" for item in dataclasses.fields(part) if item.name not in left_out}
    assert sorted(wanted - stated) == []


def test_the_index_leads_to_a_card_for_every_part() -> None:
    linked = {}
    for parts, line, link in table_rows(INDEX):
        target = re.fullmatch(r"\[.+\]\((.+)\.md\)", link)
        assert target, link
        assert line.endswith("."), line
        linked |= dict.fromkeys(re.findall(r"`(\w+)`", parts), target[1])
    assert set(linked.values()) == set(CARDS)
    assert set(OWNERS) - set(linked) == set()
    for name, card in linked.items():
        assert re.search(rf"\b{name}\b", CARDS[card]), f"{name} is not named on its card {card}"
    for part in (*SCHEDULES, *OPTIMIZERS):
        assert part.name in CARDS[linked[part.__name__]], f"{part.name}: the word of recipe files is missing"


def test_everything_public_at_the_top_that_is_a_part_has_a_card() -> None:
    parts = {
        name
        for name in lanewise.__all__
        if getattr(getattr(lanewise, name), "__module__", "").startswith("lanewise.parts.")
    }
    # What users make parts of their own of; see docs/own-parts.md.
    assert parts - {"Optimizer", "duration", "flag", "numeric", "word"} <= set(OWNERS)


def test_every_field_and_word_of_a_recipe_is_shown_in_some_card() -> None:
    texts = [block for card in CARDS for block in blocks(sections(card)["In a recipe"], "yaml")]
    shown = "\n".join(texts)
    for item in dataclasses.fields(Recipe):
        assert re.search(rf"^{item.name}: ", shown, flags=re.MULTILINE), item.name
        for word in item.metadata.get("words", ())[1:]:
            assert re.search(rf"^{item.name}: .*\b{word}\b", shown, flags=re.MULTILINE), f"{item.name}: {word}"


@pytest.mark.parametrize("text", [INDEX, *CARDS.values()], ids=["README", *CARDS])
def test_links_lead_to_files_that_exist(text: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose):
        assert (FOLDER / link).is_file(), link


def test_every_card_has_its_plot_and_every_plot_its_card() -> None:
    assert {path.stem for path in (FOLDER / "plots").iterdir()} == set(CARDS) == set(plots.PLOTS)


@pytest.mark.parametrize("name", plots.PLOTS)
def test_the_plots_are_those_that_the_code_draws(name: str) -> None:
    number = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
    # Matplotlib names clips and markers by a hash of their coordinates, whose last digits differ by processor.
    kept, drawn = (
        re.sub(r"\b[mp][0-9a-f]{10}\b", "id", svg)
        for svg in ((FOLDER / "plots" / f"{name}.svg").read_text(encoding="utf-8"), plots.svg(name))
    )
    stale = "run: python -m docs.plots"
    assert number.sub("#", drawn) == number.sub("#", kept), stale
    # The last digits may differ from one processor to the next; a twentieth of a point cannot be seen.
    for new, old in zip(number.findall(drawn), number.findall(kept), strict=True):
        assert abs(float(new) - float(old)) < 0.05, stale


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_plots_can_be_read_on_light_and_dark_pages(colour: str, background: str) -> None:
    assert contrast(colour, background) >= 3, "WCAG 2.2, 1.4.11: at least 3 to 1 for graphics"
