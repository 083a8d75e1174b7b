import gzip
import json

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from lanewise import data
from lanewise.data.tables.columns import MOST_CATEGORIES
from lanewise.errors import InputError

ROWS = """age,town,member,income,class
31,Rome,true,2.5,yes
,Oslo,false,1.5,no
45,,true,3.5,yes
28,Rome,true,,no
"""
HEADINGS = (
    "age",
    "age is missing",
    "town=Oslo",
    "town=Rome",
    "town is missing",
    "member",
    "income",
    "income is missing",
)
NAN = float("nan")
WANTED = [
    [31, 0, 0, 1, 0, 1, 2.5, 0],
    [NAN, 1, 1, 0, 0, 0, 1.5, 0],
    [45, 0, 0, 0, 1, 1, 3.5, 0],
    [28, 0, 0, 1, 0, 1, NAN, 1],
]


def write(path, text=ROWS):
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_parquet(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "A.CSV", "a.semicolon.csv", "a.parquet"])
def test_the_same_table_in_every_form(tmp_path, name):
    if name.endswith("parquet"):
        path = write_parquet(
            tmp_path / name,
            age=[31, None, 45, 28],
            town=["Rome", "Oslo", None, "Rome"],
            member=[True, False, True, True],
            income=[2.5, 1.5, 3.5, None],
            **{"class": pyarrow.array(["yes", "no", "yes", "no"]).dictionary_encode()},
        )
    else:
        mark = "\t" if "tsv" in name else ";" if "semicolon" in name else ","
        path = write(tmp_path / name, ROWS.replace(",", mark))
    source = data.load(path, target_column="class")
    assert source.feature_names == HEADINGS
    np.testing.assert_array_equal(source.x, WANTED)
    assert (source.y.tolist(), source.class_names, source.target) == ([1, 0, 1, 0], ("no", "yes"), "class")
    assert source.name == str(path)
    assert [note.rpartition("column ")[2] for note in source.notes] == [
        f"'{name}': 1 missing numbers are put at the mean of the training rows, and a feature of its own says where"
        for name in ("age", "income")
    ]
    assert torch.equal(data.load(path, target="class").y, source.y)


def test_missing_numbers_end_at_the_mean_of_the_training_rows_alone(tmp_path):
    x = data.load(write(tmp_path / "a.csv"), target_column="class").x
    scale = data.Standardise.fit(x, torch.tensor([0, 1, 3]))
    assert scale.mean[0] == 29.5
    out = scale.apply(x)
    assert torch.isfinite(out).all()
    assert out[1, 0] == 0
    assert out[2, 0] > 5


def test_the_target_may_be_a_column_of_numbers(tmp_path):
    path = write(tmp_path / "a.csv", "a,b,price\n" + "".join(f"{row},{row % 2},{row * 3}\n" for row in range(40)))
    source = data.load(path, target="price")
    assert (source.target, source.y.dtype, source.classes) == ("number", torch.float64, None)
    assert source.y.tolist() == [row * 3 for row in range(40)]
    assert source.x[:, 1].tolist() == [0, 1] * 20
    few = data.load(path, target="b")
    assert (few.target, few.class_names) == ("class", ("0", "1"))
    assert "target='number' makes them numbers" in few.notes[0]
    assert data.load(path, target="number", target_column="b").y.tolist() == [0, 1] * 20
    assert data.load(path, target="class", target_column="a").classes == 40


def test_whole_numbers_of_any_kind_may_be_classes(tmp_path):
    path = write(tmp_path / "a.csv", "a,grade\n1,5\n2,3\n4,5\n")
    source = data.load(path, target="grade")
    assert (source.y.tolist(), source.class_names) == ([1, 0, 1], ("3", "5"))


def test_columns_left_out_and_columns_of_names(tmp_path):
    path = write(tmp_path / "a.csv", "zip,name,when,y\n1010,a,2020-01-01,0\n,b,2020-01-02,1\n99,c,2020-01-03,1\n")
    source = data.load(path, target="y", drop=["name", "when"], categories=["zip"])
    assert source.feature_names == ("zip=99", "zip=1010", "zip is missing")
    assert source.x.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_numbers_marked_as_categories_in_parquet(tmp_path):
    table = pyarrow.table({"code": [7, 3, None], "y": ["a", "b", "a"]})
    columns = [{"name": "code", "pandas_type": "categorical"}, {"name": "y", "pandas_type": "unicode"}]
    parquet.write_table(
        table.replace_schema_metadata({"pandas": json.dumps({"columns": columns})}), tmp_path / "a.parquet"
    )
    source = data.load(tmp_path / "a.parquet", target="y")
    assert source.feature_names == ("code=3", "code=7", "code is missing")


def test_an_index_that_other_libraries_write_is_left_out(tmp_path):
    source = data.load(write(tmp_path / "a.csv", ",a,y\n0,5,x\n1,6,z\n2,5,x\n"), target="y")
    assert source.feature_names == ("a",)
    assert "numbers the rows and is left out" in source.notes[0]


def test_a_column_without_values_is_left_out(tmp_path):
    source = data.load(write(tmp_path / "a.csv", "a,b,y\n1,,u\n2,,v\n"), target="y")
    assert source.feature_names == ("a",)
    assert "'b' has no values and is left out" in source.notes[0]


def test_decimals_and_large_text(tmp_path):
    from decimal import Decimal

    path = write_parquet(
        tmp_path / "a.parquet",
        price=pyarrow.array([Decimal("1.25"), Decimal("2.50")]),
        text=pyarrow.array(["u", "v"], pyarrow.large_string()),
        y=["a", "b"],
    )
    assert data.load(path, target="y").x.tolist() == [[1.25, 1, 0], [2.5, 0, 1]]


def test_split_by_columns_of_the_table(tmp_path):
    lines = "".join(f"2020-01-{row + 1:02},{row // 4},{row},{row % 2}\n" for row in reversed(range(24)))
    path = write(tmp_path / "a.csv", "day,person,a,y\n" + lines)
    held = data.hold_out(data.load(path, target="y", time="day", drop=["person"]), 0)
    rows = held.split(0, lambda r: r)
    assert held.pool.x.shape[1] == 1
    assert held.pool.x[rows.train].max() < held.pool.x[rows.valid].min()
    assert held.pool.x.max() < held.test.x.min()
    held = data.hold_out(data.load(path, target="y", groups="person", drop=["day"]), 0)
    assert not set((held.pool.x // 4).flatten().tolist()) & set((held.test.x // 4).flatten().tolist())


WIDE = "a,y\n" + "".join(f"name{row // 2},{row % 2}\n" for row in range(2 * MOST_CATEGORIES + 2))


@pytest.mark.parametrize(
    ("text", "given", "match"),
    [
        (
            ROWS,
            {},
            r"target: must be one of the columns age, town, member, income, class; name it with target='...'",
        ),
        (ROWS, {"target": "clas"}, "no column 'clas'; must be one of age, town"),
        (ROWS, {"target": "class", "drop": ["x"]}, "no column 'x'"),
        (ROWS, {"target": "class", "categories": ["x"]}, "categories: no column 'x'"),
        (ROWS, {"target": "class", "drop": ["class"]}, "'class' is the target and in drop"),
        (ROWS, {"target": "class", "time": "class"}, "'class' is the target and in groups or time"),
        (ROWS, {"target": "class", "time": "tim"}, "no column 'tim'"),
        (ROWS, {"target": "town"}, "column 'town' is missing in 1 rows, first in row 2"),
        (ROWS, {"target": "number", "target_column": "class"}, "holds text: must hold numbers"),
        (ROWS, {"target": "tokens", "target_column": "class"}, "must be class or number"),
        (ROWS, {"target": "x", "target_column": "class"}, "target = 'x': must be class, number, tokens, none"),
        ("a,a,y\n1,2,3\n", {"target": "y"}, "two columns 'a'"),
        ("a,y\n", {"target": "y"}, "has no rows"),
        ("", {"target": "y"}, "cannot be read as a table"),
        ("a,y\n1,2,3\n", {"target": "y"}, "cannot be read as a table"),
        ("a,y\n1,u\n2,u\n", {"target": "y"}, r"column 'y' has one class only \('u'\)"),
        ("a,y\n1,2.5\n2,2.5\n", {"target": "y"}, "is the same number in every row"),
        ("y\n1\n2\n", {"target": "y"}, "has no column to learn from"),
        ("a,y\n,1\n,2\n", {"target": "y"}, "all columns are empty"),
        ("a,y\ninf,1\n2,2\n", {"target": "y"}, "has 1 infinite values, first in row 0"),
        (
            WIDE,
            {"target": "y"},
            rf"column 'a' has {MOST_CATEGORIES + 1} different texts: must be at most {MOST_CATEGORIES}",
        ),
    ],
)
def test_bad_tables_are_named_on_one_line(tmp_path, text, given, match):
    with pytest.raises(InputError, match=match) as caught:
        data.load(write(tmp_path / "a.csv", text), **given)
    assert "\n" not in str(caught.value)


def test_columns_that_are_neither_numbers_nor_text(tmp_path):
    for values, match in (
        ([[1], [2]], "column 'a' is list<.*: must be numbers, truth values or text"),
        ([b"\xff", b"y"], "column 'a' is binary that is no UTF-8 text"),
    ):
        with pytest.raises(InputError, match=match):
            data.load(write_parquet(tmp_path / "a.parquet", a=values, y=["u", "v"]), target="y")


def test_damaged_files(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", a=[1, 2], y=["u", "v"])
    path.write_bytes(path.read_bytes()[:-9])
    zipped = write(tmp_path / "a.csv.gz")
    zipped.write_bytes(zipped.read_bytes()[:-20])
    for damaged in (path, zipped):
        with pytest.raises(InputError, match="cannot be read as a table") as caught:
            data.load(damaged, target="y")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"target_column": "y"}, r"data arrays: target_column = 'y': only tables have columns"),
        ({"drop": ["y"]}, r"drop = \['y'\]: only tables"),
        ({"groups": "y"}, "groups = 'y': only tables have columns; give one value for each row"),
    ],
)
def test_only_tables_have_columns(given, match):
    with pytest.raises(InputError, match=match):
        data.load((np.zeros((4, 2)), [0, 1, 0, 1]), **given)
