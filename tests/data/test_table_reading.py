"""What columns of a table are taken for: numbers however they are written, dates, names, and what is left out."""

import datetime
import json
from decimal import Decimal

import numpy as np
import pyarrow
import pyarrow.csv
import pytest
from pyarrow import parquet

from lanewise import data
from lanewise.data.tables.new_rows import encode
from lanewise.errors import InputError

ROWS = 40
BIG = 2**53


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def one_column(path, value, mark=","):
    """A table of the column a, and of y, 0 and 1 in turn."""
    return write(path, f"a{mark}y\n" + "".join(f"{value(row)}{mark}{row % 2}\n" for row in range(ROWS)))


def write_parquet(path, pandas=None, **columns):
    table = pyarrow.table(columns)
    if pandas is not None:
        table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    parquet.write_table(table, path)
    return path


def said(source, *words):
    return [note for note in source.notes if all(word in note for word in words)]


@pytest.mark.parametrize(
    ("written", "number", "shown"),
    [
        ('"1,234"', 1234, "'1,234' as 1234"),
        ('"1,234.5"', 1234.5, "'1,234.5' as 1234.5"),
        ('"1.234,5"', 1234.5, "'1.234,5' as 1234.5"),
        ('"0,25"', 0.25, "'0,25' as 0.25"),
        ("1 234", 1234, "'1 234' as 1234"),
        ("1\u202f234", 1234, "as 1234"),
        ("1'234.5", 1234.5, "as 1234.5"),
        ("$15", 15, "'$15' as 15"),
        ("-$15", -15, "'-$15' as -15"),
        ("€ 5", 5, "'€ 5' as 5"),
        ("5 EUR", 5, "'5 EUR' as 5"),
        ("\u22123", -3, "as -3"),
        ("(7)", -7, "'(7)' as -7"),
    ],
)
def test_numbers_are_read_however_they_are_written(tmp_path, written, number, shown):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: written if row % 2 else 2), target="y")
    assert source.feature_names == ("a",)
    assert source.x[:2, 0].tolist() == [2, number]
    assert said(source, "'a' is read as numbers", shown)


@pytest.mark.parametrize(("written", "number"), [("15%", 15), ("2.5 kg", 2.5), ("80 km", 80)])
def test_a_unit_that_all_numbers_have_is_left_out(tmp_path, written, number):
    other = written.replace(f"{number}", "3")
    source = data.load(one_column(tmp_path / "a.csv", lambda row: written if row % 2 else other), target="y")
    assert source.x[:2, 0].tolist() == [3, number]
    assert said(source, "'a' is read as numbers")


@pytest.mark.parametrize("written", ["1e3", "+5", "1000", ".5", "7."])
def test_what_python_reads_is_not_remarked_upon(tmp_path, written):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: written if row % 2 else 2), target="y")
    assert source.x[:2, 0].tolist() == [2, float(written)]
    assert not said(source, "'a'")


@pytest.mark.parametrize("values", [("5%", "0.3"), ("$5", "€5"), ("5 kg", "5 lb")])
def test_numbers_of_different_units_stay_text_with_a_note(tmp_path, values):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: values[row // 2 % 2]), target="y")
    assert len(source.feature_names) == 2
    assert said(source, "'a' looks like numbers of different units")


def test_the_mark_that_other_columns_use_settles_what_one_alone_does_not(tmp_path):
    lines = "".join(f"1.{200 + row};{row},5;2,{300 + row};{row % 2}\n" for row in range(ROWS))
    source = data.load(write(tmp_path / "a.csv", "a;b;c;y\n" + lines), target="y")
    assert source.x[0].tolist() == [1200, 0.5, 2.3]
    lines = "".join(f'1.{200 + row};{row}.5;"2,{300 + row}";{row % 2}\n' for row in range(ROWS))
    source = data.load(write(tmp_path / "a.csv", "a;b;c;y\n" + lines), target="y")
    assert source.x[0].tolist() == [1.2, 0.5, 2300]


def test_a_target_with_decimal_commas_is_a_number(tmp_path):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: f"{row},25", ";"), target="a")
    assert (source.target, source.y[1].item()) == ("number", 1.25)


@pytest.mark.parametrize("word", ["?", "NA", "n/a", "-", "None", "null", "", ".", "#DIV/0!"])
def test_words_for_no_value_are_missing_numbers(tmp_path, word):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: word if row % 9 == 0 else row / 2), target="y")
    assert source.feature_names == ("a", "a is missing")
    assert source.x[0, 0].isnan()
    assert source.x[:, 1].sum() == 5
    if word in ("?", "-", "None", "#DIV/0!"):
        assert said(source, f"{word!r} in 5 rows stands for a missing number")


def test_a_column_that_is_nearly_numbers_is_said_to_be_text(tmp_path):
    path = one_column(tmp_path / "a.csv", lambda row: "many" if row % 9 == 0 else row % 5)
    source = data.load(path, target="y")
    assert len(source.feature_names) == 6
    assert said(source, "read as text, though 35 of 40 values are numbers: 'many' is not")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("how", ["categories", "target", "groups"])
def test_whole_numbers_that_float64_merges_stay_apart(tmp_path, kind, how):
    big, other = [BIG + row % 4 for row in range(ROWS)], list(range(ROWS))
    if kind == "csv":
        path = write(
            tmp_path / "a.csv", "a,b,c\n" + "".join(f"{one},{two},0\n" for one, two in zip(big, other, strict=True))
        )
    else:
        path = write_parquet(tmp_path / "a.parquet", a=pyarrow.array(big, pyarrow.uint64()), b=other, c=other)
    names = tuple(str(BIG + number) for number in range(4))
    if how == "target":
        assert data.load(path, target="a").class_names == names
    elif how == "categories":
        found = data.load(path, target="b", categories=["a"], drop=["c"])
        assert found.feature_names == tuple(f"a={name}" for name in names)
    else:
        assert len(np.unique(data.load(path, target="b", groups="a").splitter.groups)) == 4


def test_large_whole_numbers_as_features_are_remarked_upon(tmp_path):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: BIG + row), target="y")
    assert source.feature_names == ("a",)
    assert said(source, "'a' has whole numbers above 9007199254740992", "categories=['a']")


def test_decimals_keep_their_digits(tmp_path):
    path = write_parquet(
        tmp_path / "a.parquet",
        a=[Decimal(BIG + row % 3) for row in range(ROWS)],
        b=[Decimal("0.5") * (row % 3) for row in range(ROWS)],
    )
    assert data.load(path, target="a").classes == 3
    assert data.load(path, target="b").target == "number"


@pytest.mark.parametrize("names", [("1.1", "1.10"), ("7", "007"), ("1e1", "10")])
def test_groups_whose_names_are_equal_numbers_are_two(tmp_path, names):
    lines = "".join(f"{row},{names[row // 4 % 2]},{row % 2}\n" for row in range(ROWS))
    source = data.load(write(tmp_path / "a.csv", "a,g,y\n" + lines), target="y", groups="g")
    assert len(np.unique(source.splitter.groups)) == 2


def test_codes_with_leading_zeros_stay_apart_where_they_are_names(tmp_path):
    path = one_column(tmp_path / "a.csv", lambda row: "01" if row % 3 else "1")
    assert data.load(path, target="y", categories=["a"]).feature_names == ("a=01", "a=1")
    assert data.load(path, target="a").class_names == ("01", "1")
    assert said(data.load(path, target="y"), "leading zeros ('01')", "categories=['a']")


@pytest.mark.parametrize("whole", [0.0, 1.0])
def test_floating_targets_of_0_and_1_are_classes_as_they_are_in_arrays(tmp_path, whole):
    path = write(tmp_path / "a.csv", "a,y\n" + "".join(f"{row},{float(row % 2) + whole}\n" for row in range(ROWS)))
    array = data.load((np.arange(ROWS * 1.0)[:, None], np.arange(ROWS) % 2 + whole))
    column = data.load(path, target="y")
    assert column.target == array.target
    assert bool(said(column, "whole floating numbers are read as classes")) == (whole == 0)


def test_truth_values_to_be_learnt_are_called_so(tmp_path):
    source = data.load(write(tmp_path / "a.csv", "a,y\n1,true\n2,false\n3,true\n"), target="y")
    assert (source.class_names, source.y.tolist()) == (("False", "True"), [1, 0, 1])


ORDER = np.random.default_rng(0).permutation(ROWS)


@pytest.mark.parametrize("heading", ["", "Unnamed: 0"])
@pytest.mark.parametrize(
    "value", [lambda at: at, lambda at: at + 1, lambda at: 3 * at + 7, lambda at: f"row{at}", float]
)
def test_an_index_is_left_out_whatever_its_order(tmp_path, heading, value):
    lines = "".join(f"{value(at)},{row % 5},{row % 2}\n" for row, at in enumerate(ORDER))
    source = data.load(write(tmp_path / "a.csv", f"{heading},a,y\n" + lines), target="y")
    assert source.feature_names == ("a",)
    assert said(source, "is left out")


@pytest.mark.parametrize(
    ("heading", "kept"), [("id", False), ("PassengerId", False), ("user_id", False), ("paid", True)]
)
def test_ids_by_name_are_left_out(tmp_path, heading, kept):
    lines = "".join(f"{100 + 3 * at},{row % 5},{row % 2}\n" for row, at in enumerate(ORDER))
    source = data.load(write(tmp_path / "a.csv", f"{heading},a,y\n" + lines), target="y")
    assert (heading in source.feature_names) == kept
    assert bool(said(source, repr(heading), "is left out")) != kept


def test_the_index_of_pandas_in_parquet_is_left_out_but_may_be_used(tmp_path):
    columns = {"a": np.arange(ROWS * 1.0), "y": [row % 2 for row in range(ROWS)], "shop": ORDER // 4, "day": ORDER}
    path = write_parquet(tmp_path / "a.parquet", {"index_columns": ["shop", "day"], "columns": []}, **columns)
    source = data.load(path, target="y")
    assert source.feature_names == ("a",)
    assert said(source, "'shop' is the index of a DataFrame")
    assert len(np.unique(data.load(path, target="y", groups="shop").splitter.groups)) == 10
    ranged = {"index_columns": [{"kind": "range", "start": 0, "stop": 40, "step": 1}], "columns": []}
    assert data.load(write_parquet(path, ranged, **columns), target="y").feature_names == ("a", "shop", "day")


@pytest.mark.parametrize("rows", [30, 300])
def test_text_that_names_the_rows_is_left_out_with_a_count(tmp_path, rows):
    lines = "".join(f"n{row}x,{row % 5},{row % 2}\n" for row in range(rows))
    path = write(tmp_path / "a.csv", "who,a,y\n" + lines)
    source = data.load(path, target="y")
    assert source.feature_names == ("a",)
    assert said(source, f"'who' has {rows} different texts in {rows} rows", "categories=['who'] keeps it")
    if rows < 256:
        assert len(data.load(path, target="y", categories=["who"]).feature_names) == rows + 1


def test_text_that_names_the_rows_is_no_target(tmp_path):
    path = one_column(tmp_path / "a.csv", lambda row: f"n{row}x")
    with pytest.raises(InputError, match="'a' has 40 different texts in 40 rows: must be classes that come again"):
        data.load(path, target="a")
    assert data.load(path, target="class", target_column="a").classes == ROWS


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%Y-%m-%d %H:%M", "parquet"])
def test_dates_become_features(tmp_path, form):
    days = [datetime.datetime(2020, 1, 1, 6) + datetime.timedelta(days=row) for row in range(ROWS)]
    if form == "parquet":
        path = write_parquet(tmp_path / "a.parquet", a=[day.date() for day in days], y=[row % 2 for row in range(ROWS)])
    else:
        path = one_column(tmp_path / "a.csv", lambda row: days[row].strftime(form))
    source = data.load(path, target="y")
    hours = ("a hour",) if "%H" in form else ()
    assert source.feature_names == ("a year", "a month", "a weekday", "a elapsed days", *hours)
    # 1 February 2020 was a Saturday.
    assert source.x[31, :3].tolist() == [2020, 2, 5]
    assert source.x[31, 3] - source.x[0, 3] == 31
    assert not hours or source.x[0, 4] == pytest.approx(6)
    assert said(source, "holds dates, of which features are made")


def test_missing_dates_times_of_day_and_durations(tmp_path):
    lines = "".join(
        f"{'?' if row == 3 else f'2020-01-{row % 28 + 1:02}'},1{row % 9}:30,{row % 2}\n" for row in range(ROWS)
    )
    source = data.load(write(tmp_path / "a.csv", "a,b,y\n" + lines), target="y")
    assert source.feature_names[-2:] == ("a is missing", "b")
    assert source.x[3, :4].isnan().all()
    assert source.x[0, 5] == 10.5 * 3600
    hours = [datetime.timedelta(hours=row) for row in range(ROWS)]
    path = write_parquet(tmp_path / "a.parquet", a=hours, y=[row % 2 for row in range(ROWS)])
    assert data.load(path, target="y").x[2, 0] == 7200


def test_zones_are_read_in_utc_with_a_note(tmp_path):
    zones = ("+02:00", "Z")
    path = one_column(tmp_path / "a.csv", lambda row: f"2020-01-01T{10 + row % 9}:00:00{zones[row % 2]}")
    source = data.load(path, target="y")
    assert source.x[:2, 4].tolist() == pytest.approx([8, 11])
    assert said(source, "times with a time zone are read in UTC")
    stamps = pyarrow.array([datetime.datetime(2020, 1, 1)] * ROWS, pyarrow.timestamp("ns", "Europe/Berlin"))
    path = write_parquet(tmp_path / "a.parquet", a=stamps, b=range(ROWS), y=[row % 2 for row in range(ROWS)])
    assert said(data.load(path, target="y"), "read in UTC")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (lambda row: f"0{row % 9 + 1}/0{row % 7 + 1}/2020", "day and month are ambiguous"),
        (lambda row: f"2020-01-01T10:00:00{'Z' if row % 2 else ''}", "with and without a time zone"),
    ],
)
def test_dates_that_cannot_be_told_are_refused(tmp_path, value, match):
    with pytest.raises(InputError, match=rf"column 'a' holds dates .*{match}.*drop=\['a'\]$"):
        data.load(one_column(tmp_path / "a.csv", value), target="y")


def test_time_is_sorted_as_dates_however_they_are_written(tmp_path):
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=17 * row) for row in range(ROWS)]
    lines = "".join(f"{day:%d.%m.%Y},{row},{row % 2}\n" for row, day in enumerate(days))
    source = data.load(write(tmp_path / "a.csv", "t,a,y\n" + lines), target="y", time="t")
    assert source.splitter.time.tolist() == list(range(ROWS))
    with pytest.raises(InputError, match="time = 't': the column holds 'x0': must hold numbers or dates"):
        data.load(
            write(tmp_path / "b.csv", "t,a,y\n" + "".join(f"x{row},1,{row % 2}\n" for row in range(9))),
            target="y",
            time="t",
        )


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_encodings_are_found(tmp_path, encoding):
    text = "straße,y\n" + "".join(f"{('köln', 'bonn')[row % 2]},{row % 2}\n" for row in range(ROWS))
    source = data.load(write(tmp_path / "a.csv", text, encoding), target="y")
    assert source.feature_names == ("straße=bonn", "straße=köln")
    assert bool(said(source, "is not UTF-8 and is read as cp1252")) == (encoding in ("latin-1", "cp1252"))


def test_encodings_may_be_said(tmp_path):
    path = write(tmp_path / "a.csv", "łódź,y\n1,0\n2,1\n", "cp1250")
    assert data.load(path, target="y", encoding="cp1250").feature_names == ("łódź",)
    for name, match in (("utf-8", "is not in the encoding utf-8"), ("nope", "no encoding that Python knows")):
        with pytest.raises(InputError, match=match):
            data.load(path, target="y", encoding=name)
    with pytest.raises(InputError, match="only text files have one"):
        data.load(write_parquet(tmp_path / "a.parquet", a=[1, 2], y=[0, 1]), target="y", encoding="utf-8")
    with pytest.raises(InputError, match="only tables of text have one"):
        data.load("digits", encoding="utf-8")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_separators_are_found(tmp_path, name, mark):
    source = data.load(one_column(tmp_path / name, lambda row: row / 4, mark), target="y")
    assert source.feature_names == ("a",)


def test_a_line_that_says_the_separator_is_no_row(tmp_path):
    path = write(tmp_path / "a.csv", "sep=;\r\na;y\r\n" + "".join(f"{row},5;{row % 2}\r\n" for row in range(ROWS)))
    source = data.load(path, target="y")
    assert (source.feature_names, source.x[1, 0].item()) == (("a",), 1.5)
    with pytest.raises(InputError, match="cannot be read as a table"):
        data.load(write(tmp_path / "b.csv", "sep=é\na;y\n1;0\n"), target="y")


def test_spaces_around_headings_and_names_do_not_count(tmp_path):
    lines = "".join(f" {('red', 'red ', 'blue')[row % 3]} , {row % 2} \n" for row in range(ROWS))
    source = data.load(write(tmp_path / "a.csv", " a , y \n" + lines), target="y")
    assert source.feature_names == ("a=blue", "a=red")
    assert said(source, "spaces around")


def test_rows_without_a_target_are_left_out_if_asked_for(tmp_path):
    lines = "".join(f"{row},{row // 4},{'' if row % 7 == 0 else row % 2}\n" for row in range(ROWS))
    path = write(tmp_path / "a.csv", "a,g,y\n" + lines)
    with pytest.raises(
        InputError, match=r"missing in 6 rows, first in row 0.*drop_missing_target=True leaves such rows out$"
    ):
        data.load(path, target="y")
    source = data.load(path, target="y", groups="g", drop_missing_target=True)
    assert source.x[:, 0].tolist() == [row for row in range(ROWS) if row % 7]
    assert len(source.splitter.groups) == 34
    assert said(source, "6 of 40 rows have no 'y' and are left out")
    assert source.asked == {"target_column": "y", "groups": "g", "drop_missing_target": True}
    with pytest.raises(InputError, match="drop_missing_target = True: only tables"):
        data.load("digits", drop_missing_target=True)


def test_all_columns_that_cannot_be_used_are_named_at_once(tmp_path):
    lists = [[1]] * ROWS
    path = write_parquet(tmp_path / "a.parquet", a=lists, b=[{"c": 1}] * ROWS, d=range(ROWS), y=[0, 1] * (ROWS // 2))
    with pytest.raises(
        InputError, match=r"2 columns cannot be used: column 'a' is list.*; column 'b' is struct.*drop=\['a', 'b'\]"
    ):
        data.load(path, target="y")
    with pytest.raises(InputError, match=r"column 'a' is list.* one value a row to split the rows by"):
        data.load(path, target="y", groups="a", drop=["b"])
    text = "a,b,y\n" + "".join(
        f"{'inf' if row == 2 else row},{'-inf' if row == 5 else row},{row % 2 or ''}\n" for row in range(9)
    )
    with pytest.raises(InputError, match=r"'a' has 1 inf.*; column 'b' has 1.*; column 'y' is missing in 5"):
        data.load(write(tmp_path / "a.csv", text), target="y")
    with pytest.raises(InputError, match="no columns 'Y', 'c'; must be one of a, b, y; did you mean 'y'"):
        data.load(write(tmp_path / "a.csv", text), target="Y", drop=["c"])


def test_bytes_that_are_text_are_names(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", a=["köln".encode(), b"bonn"] * 20, y=[0, 1] * 20)
    assert data.load(path, target="y").feature_names == ("a=bonn", "a=köln")


@pytest.mark.parametrize("kind", ["S1", object])
def test_labels_of_bytes_that_are_no_text_stay_apart(kind):
    labels = np.array([b"\xe9", b"\xe8", b"a"] * 20, dtype=kind)
    assert data.load((np.arange(60.0)[:, None], labels)).class_names == ("\\xe8", "\\xe9", "a")


def test_classes_are_called_by_their_names_in_errors(tmp_path):
    path = one_column(tmp_path / "a.csv", lambda row: "rare" if row == 3 else "often")
    with pytest.raises(InputError, match="class 'rare' has 1 of 40 rows"):
        data.hold_out(data.load(path, target="a"), 0)
    held = data.hold_out(
        data.load(one_column(path, lambda row: "rare" if row < 8 else "often"), target="a", folds=9), 0
    )
    with pytest.raises(InputError, match="folds = 9: class 'rare' has 6 rows"):
        held.split(0, lambda repeat: repeat)


def test_what_columns_were_taken_for_is_held(tmp_path):
    text = "town,when,size,empty,y\n" + "".join(
        f'{("Rome", "Oslo", "")[row % 3]},2020-01-{row % 28 + 1:02},"{row},5",,{row % 2}\n' for row in range(ROWS)
    )
    source = data.load(write(tmp_path / "a.csv", text), target="y")
    assert source.schema.features == source.feature_names
    assert source.schema.summary == (
        ("town", "category of 2: Oslo, Rome", "13 missing: a category of its own"),
        ("when", "date: year, month, weekday, elapsed days", ""),
        ("size", "number, decimal comma", ""),
        ("empty", "left out: no values", ""),
    )


def test_large_numbers_with_a_point_stay_apart(tmp_path):
    """float64 holds 9007199254740992 and not its neighbour."""
    path = write(
        tmp_path / "a.csv", "a,b,y\n" + "".join(f"{BIG + row % 2}.0,{row % 3},{row % 2}\n" for row in range(ROWS))
    )
    source = data.load(path, target="y", categories=["a"], drop=["b"])
    assert source.feature_names == (f"a={BIG}", f"a={BIG + 1}")
    assert source.x.tolist() == [[1.0, 0.0], [0.0, 1.0]] * 20
    found = encode(source.schema, {"a": [f"{BIG + 1}.0", f"{BIG + 1}"]})
    assert found.x.tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert data.load(path, target_column="a", target="class").class_names == (str(BIG), str(BIG + 1))


def test_large_decimals_stay_apart(tmp_path):
    numbers = [Decimal(f"{BIG + row % 2}.0") for row in range(ROWS)]
    path = write_parquet(tmp_path / "a.parquet", a=numbers, y=[0, 1] * 20)
    assert data.load(path, target="y", categories=["a"]).feature_names == (f"a={BIG}", f"a={BIG + 1}")


@pytest.mark.parametrize("word", ["1.2345678901234567", "1e400", "12345678901234567.25", "nan", "1e-400"])
def test_names_that_float64_does_not_hold_stay_as_they_are(tmp_path, word):
    path = one_column(tmp_path / "a.csv", lambda row: [f'"{word}"', "2.50"][row % 2])
    frame = pyarrow.csv.read_csv(
        path, convert_options=pyarrow.csv.ConvertOptions(column_types={"a": "string"}, strings_can_be_null=False)
    )
    names = data.load(frame, target="y", categories=["a"]).feature_names
    assert set(names) == {f"a={word}", "a=2.5"}


def test_bytes_that_are_no_text_are_categories_if_asked(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", a=[b"\xe9", b"\xe8"] * 20, b=[1.5, 2.5, 3.5, 4.5] * 10, y=[0, 1] * 20)
    with pytest.raises(InputError, match=r"'a' is binary that is no UTF-8 text, first in row 0 .*categories=.*drop="):
        data.load(path, target="y")
    source = data.load(path, target="y", categories=["a"])
    assert source.feature_names == ("a=\\xe8", "a=\\xe9", "b")
    assert encode(source.schema, {"a": [b"\xe8", b"?"], "b": [0.0, 0.0]}).x.tolist() == [[1.0, 0, 0], [0.0, 0, 0]]
    assert data.load(path, target="a").class_names == ("\\xe8", "\\xe9")
    groups = data.load(path, target="y", groups="a").splitter.groups
    assert groups is not None
    assert groups.tolist() == [1, 0] * 20


def test_digits_grouped_as_in_india_are_numbers(tmp_path):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: f'"{row + 1},34,567.5"'), target="y")
    assert source.x[:, 0].tolist() == [(row + 1) * 100_000 + 34_567.5 for row in range(ROWS)]
    assert said(source, "'1,34,567.5' as 134567.5")
    assert encode(source.schema, {"a": ["1,00,000", "7"]}).x.tolist() == [[100_000.0], [7.0]]


def test_marks_that_do_not_fit_are_named(tmp_path):
    path = one_column(tmp_path / "a.csv", lambda row: ['"12,34,567"', '"1,2,3"', '"1,2,4"'][row % 3])
    source = data.load(path, target="y")
    assert said(source, "'a' is read as text, though 14 of 40 values are numbers: '1,2,3', '1,2,4' are not")


def test_a_decimal_comma_in_new_rows_alone_is_refused(tmp_path):
    source = data.load(one_column(tmp_path / "a.csv", lambda row: f"{row}.5"), target="y")
    with pytest.raises(
        InputError, match=r"'a' has '1,5': must be .* in training \(number, decimal point\); first in row 1"
    ):
        encode(source.schema, {"a": ["1.5", "1,5"]})
