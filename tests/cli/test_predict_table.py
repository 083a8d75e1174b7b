"""New rows of a table are read as those that were trained on: by name, in the same form, in whatever order."""

import csv
import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pytest
import torch
from pyarrow import parquet
from typer.testing import CliRunner

import lanewise as lw
from lanewise.cli import app
from lanewise.cli.predicting import predict
from lanewise.data.tables.new_rows import encode
from lanewise.predictor import Predictor, save_model
from lanewise.train import train

RECIPE = lw.Recipe(optimizer=lw.Adam(lr=0.02), batch_size=16, epochs=15)
PRICES = {"red": 0.1, "green": 10.5, "blue": 20.5}


def colours(path: Path, rows: int = 60) -> Path:
    names = list(PRICES)
    lines = [
        f"{names[row % 3]};{row % 7},25;{'?' if row == 9 else row % 4};2020-0{row % 9 + 1}-11;{row % 2 == 0};"
        f"{PRICES[names[row % 3]]}"
        for row in range(rows)
    ]
    path.write_text("colour;size;rooms;built;sold;price\n" + "\n".join(lines).replace(".", ",") + "\n")
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lw.Task]:
    folder = tmp_path_factory.mktemp("table")
    task = lw.Task("mlp:16", lw.load(colours(folder / "a.csv"), target="price"))
    save_model(train(task, RECIPE), folder / "m.safetensors")
    return folder, task


@pytest.fixture
def predictor(saved: tuple[Path, lw.Task]) -> Predictor:
    return lw.load_model(saved[0] / "m.safetensors")


NEW: dict[str, list[Any]] = {
    "built": ["2020-03-11", "2020-03-11"],
    "sold": ["true", "true"],
    "extra": [1, 2],
    "colour": ["blue", "green"],
    "rooms": [2, 2],
    "size": [3.25, 3.25],
}


def test_the_table_itself_predicts_what_its_features_do(saved: tuple[Path, lw.Task], predictor: Predictor) -> None:
    folder, task = saved
    assert torch.equal(predictor(folder / "a.csv"), predictor(task.source.x))
    assert predictor.notes == ()
    assert torch.equal(predictor.encode(folder / "a.csv").nan_to_num(-1), task.source.x.nan_to_num(-1))


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "pandas", "arrow", "dict", "categorical"])
def test_columns_are_found_by_name(kind: str, tmp_path: Path, predictor: Predictor) -> None:
    given: Any = NEW
    table = pyarrow.table(NEW)
    if kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        lines = [mark.join(NEW), *(mark.join(f'"{value}"' for value in row) for row in zip(*NEW.values(), strict=True))]
        given = tmp_path / f"new.{kind}"
        given.write_text("\n".join(lines).replace('"3.25"', '"3,25"') + "\n")
    elif kind == "parquet":
        given = tmp_path / "new.parquet"
        parquet.write_table(table, given)
    elif kind in ("pandas", "categorical"):
        given = pandas.DataFrame(NEW).assign(sold=True, built=pandas.to_datetime(["2020-03-11"] * 2))
        if kind == "categorical":
            given["colour"] = pandas.Categorical(given["colour"], categories=["white", "green", "blue"])
    elif kind == "arrow":
        given = table
    found = predictor(given)
    assert found.tolist() == pytest.approx([20.5, 10.5], abs=2.5)
    assert len(predictor.notes) == 1
    assert "'extra': not in training, left out" in predictor.notes[0]


def test_what_training_had_not_is_counted(predictor: Predictor) -> None:
    strange = {**NEW, "colour": ["purple", None], "size": [None, 3.25], "rooms": ["?", "2"]}
    with pytest.warns(UserWarning, match="training had") as told:
        x = predictor.encode(strange)
    assert x[:, :3].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert x[0, 3].isnan()
    # Training had missing rooms, which have a feature.
    assert x[:, 4].isnan().tolist() == [True, False]
    assert x[:, 5].tolist() == [1, 0]
    lines = [str(one.message).partition("column ")[2] for one in told]
    assert lines == [
        "'colour': 1 missing values, of which training had none, are 0 in all of its features",
        "'colour': 1 values that training had not, such as 'purple', are 0 in all of its features",
        "'size': 1 missing values, of which training had none, are put at the mean of the training rows",
    ]
    assert told[0].filename == __file__


def without(*names: str) -> dict[str, list[Any]]:
    return {name: values for name, values in NEW.items() if name not in names}


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("nope.csv", "data nope.csv: no such file"),
        (__file__, "a file of unknown kind; must be a table"),
        (without("size", "built"), "has no columns 'size', 'built'; it has .*; must have all .* trained on: colour"),
        (without("size"), "has no column 'size'"),
        (NEW | {"size": ["1.5", "x"]}, "'size' has '1.5', 'x': must be as in training .number, decimal comma"),
        (NEW | {"size": [float("inf"), 1.0]}, "'size' has 1 infinite values"),
        (NEW | {"size": [[1], [2]]}, "column 'size' is list"),
        (NEW | {"built": [1, 2]}, "'built' is int64: must hold dates, as in training"),
        (NEW | {"built": ["11.03.2020", "x"], "sold": ["maybe", "true"]}, "2 columns .*'built' has.*'sold' has 'm"),
        (NEW | {"size": [1.0]}, "cannot be read as columns"),
        (NEW | {"size": 1.0}, "size = 1.0: must be a list, one value for each row"),
        ([{"colour": "red"}], "x is a list: must be an array of numbers, or a table: a path"),
    ],
)  # fmt: skip
def test_rows_that_are_none_of_these_are_refused(given: Any, match: str, predictor: Predictor) -> None:
    with pytest.raises(lw.InputError, match=match) as caught:
        predictor(given)
    assert "\n" not in str(caught.value)


def test_classes_have_their_names(tmp_path: Path) -> None:
    lines = "".join(f"{row % 3},{('ant', 'bee', 'cat')[row % 3]}\n" for row in range(60))
    (tmp_path / "a.csv").write_text("legs,animal\n" + lines)
    task = lw.Task("mlp:8", lw.load(tmp_path / "a.csv", target="animal"))
    save_model(train(task, RECIPE), tmp_path / "m.safetensors")
    predictor = lw.load_model(tmp_path / "m.safetensors", task.factory)
    assert predictor.classes == ("ant", "bee", "cat")
    assert predictor.labels({"legs": [2, 0, 1]}) == ["cat", "ant", "bee"]
    assert predictor.labels(torch.tensor([[2.0]])) == ["cat"]


def test_whole_numbers_that_are_names_are_found_by_their_digits(tmp_path: Path) -> None:
    big = 2**53
    lines = "".join(f"{big + row % 3},0{row % 2},{row % 3}.5\n" for row in range(60))
    (tmp_path / "a.csv").write_text("key,code,y\n" + lines)
    task = lw.Task("mlp:8", lw.load(tmp_path / "a.csv", target="number", target_column="y", categories=["key", "code"]))
    save_model(train(task, RECIPE), tmp_path / "m.safetensors")
    predictor = lw.load_model(tmp_path / "m.safetensors")
    (tmp_path / "b.csv").write_text(f"key,code\n{big + 1},01\n{big + 2},00\n")
    assert predictor.encode(tmp_path / "b.csv").tolist() == [[0, 1, 0, 0, 1], [0, 0, 1, 1, 0]]
    assert predictor.encode({"key": [big + 1], "code": ["01"]}).tolist() == [[0, 1, 0, 0, 1]]


def test_dates_are_read_in_the_form_of_training_or_as_iso(tmp_path: Path) -> None:
    lines = "".join(f"{row % 28 + 1:02}.02.2020 12:00,{row % 3}.5\n" for row in range(60))
    (tmp_path / "a.csv").write_text("day,y\n" + lines)
    source = lw.load(tmp_path / "a.csv", target="number", target_column="y")
    assert source.schema is not None
    for text in ("03.02.2020 12:00", "2020-02-03 12:00", "2020-02-03T12:00:00"):
        assert encode(source.schema, {"day": [text]}).x.tolist() == [[2020, 2, 0, 18295.5, 12]]
    with pytest.raises(lw.InputError, match="must be dates as in training"):
        encode(source.schema, {"day": ["02/03/2020 12:00"]})


def test_a_model_of_arrays_takes_no_table(saved: tuple[Path, lw.Task], tmp_path: Path) -> None:
    x = torch.randn(40, 3)
    save_model(train(lw.Task("mlp:4", (x, torch.arange(40) % 2)), RECIPE), tmp_path / "m.safetensors")
    predictor = lw.load_model(tmp_path / "m.safetensors")
    assert predictor.labels(x) == [str(number) for number in predictor(x).argmax(1).tolist()]
    for given in (saved[0] / "a.csv", pandas.DataFrame({"a": [1.0]})):
        with pytest.raises(lw.InputError, match="was not trained on a table; give arrays"):
            predictor(given)
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "m.safetensors"), str(saved[0] / "a.csv")])
    assert isinstance(done.exception, lw.InputError)


def test_a_model_of_ones_own_must_be_given(tmp_path: Path) -> None:
    x = torch.randn(40, 3)
    task = lw.Task(lambda: torch.nn.Linear(3, 2), (x, torch.arange(40) % 2))
    save_model(train(task, RECIPE), tmp_path / "m.safetensors")
    with pytest.raises(lw.InputError, match="its model is your own; give the function that makes it"):
        lw.load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("damage", [{"columns": 3}, {"columns": []}, {"columns": [{"name": "a", "kind": "x"}]}])
def test_a_damaged_table_is_said_on_one_line(
    damage: dict[str, Any], saved: tuple[Path, lw.Task], tmp_path: Path
) -> None:
    content = (saved[0] / "m.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    index = json.loads(header["__metadata__"]["lanewise"])
    index["table"] |= damage
    header["__metadata__"]["lanewise"] = json.dumps(index)
    text = json.dumps(header).encode()
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    with pytest.raises(lw.InputError, match="was not written by lanewise train --save"):
        lw.load_model(tmp_path / "m.safetensors")


def test_the_command_predicts_rows_of_a_file(saved: tuple[Path, lw.Task], tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(
        "size,colour,rooms,built,sold\n2.25,blue,1,2020-01-11,true\n".replace("2.25", '"2,25"')
    )
    done = CliRunner().invoke(app, ["predict", str(saved[0] / "m.safetensors"), str(tmp_path / "new.csv")])
    assert done.exit_code == 0, done.output
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert float(row["price"]) == pytest.approx(20.5, abs=2.5)


def test_a_terminal_is_shown_names_that_cannot_steer_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{at},{'plain' if at % 2 else chr(27) + '[2J'}" for at in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["size,kind", *rows]) + "\n")
    task = lw.Task("mlp:4", lw.load(tmp_path / "a.csv", target="kind"))
    save_model(train(task, RECIPE), tmp_path / "m.safetensors")
    for terminal in (False, True):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        predict(tmp_path / "m.safetensors", tmp_path / "a.csv")
        shown = capsys.readouterr().out
        assert ("\x1b" in shown) == (not terminal)
        assert shown.count("[2J") > 0


def test_what_columns_are_taken_for_is_shown_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colours(tmp_path / "a.csv")
    (tmp_path / "best.yaml").write_text("lanewise: 1\nbatch_size: 16\nepochs: 1\n")
    monkeypatch.chdir(tmp_path)
    words = ["train", "best.yaml", "--data", "a.csv", "--model", "mlp:4", "--target", "price", "--drop", "sold"]
    done = CliRunner().invoke(app, [*words, "--drop", "built", "--drop-missing-target"])
    assert done.exit_code == 0, done.output
    shown = " ".join(done.stderr.split())
    for words_shown in (
        "colour category of 3: blue, green, red",
        "size number, decimal comma",
        "sold left out: as asked",
    ):
        assert words_shown in shown
    assert "'?' in 1 rows stands for a missing number" in shown
