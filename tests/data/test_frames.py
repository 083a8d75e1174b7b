"""DataFrames are tables: of pandas, and of any library that gives its columns to Arrow."""

import numpy as np
import pandas
import pyarrow
import pytest
import torch

import lanewise as lw
from lanewise import data
from lanewise.errors import InputError


class Frame:
    """What polars, DuckDB and others have in common: Arrow's stream."""

    def __init__(self, table: pyarrow.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Interchanged:
    """A DataFrame of the older protocol."""

    def __init__(self, frame: pandas.DataFrame) -> None:
        self.frame = frame

    def __dataframe__(self, *_: object, **__: object) -> object:
        return pyarrow.table(self.frame).__dataframe__()


ROWS = 40


def frame() -> pandas.DataFrame:
    random = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "size": random.normal(size=ROWS),
            "town": pandas.Categorical(["Rome", "Oslo", "Rome", "Bonn"] * 10),
            "rooms": pandas.array([1, None, 3, 4] * 10, dtype="Int64"),
            "built": pandas.date_range("2020-01-01", periods=ROWS, freq="D"),
            "price": random.normal(size=ROWS),
        },
        index=pandas.Index(random.permutation(ROWS), name="house"),
    )


NAMES = (
    "size", "town=Bonn", "town=Oslo", "town=Rome", "rooms", "rooms is missing",
    "built year", "built month", "built weekday", "built elapsed days",
)  # fmt: skip


@pytest.mark.parametrize("made", ["pandas", "stream", "polars", "arrow", "interchange"])
def test_a_frame_is_a_table(made: str) -> None:
    given = frame()
    table = pyarrow.Table.from_pandas(given.reset_index(drop=True))
    if made == "polars":
        # Its text is of Arrow's newer kind.
        views = pyarrow.array(["Rome", "Oslo", "Rome", "Bonn"] * 10, pyarrow.string_view())
        table = table.set_column(1, "town", views)
    kinds = {"pandas": given, "arrow": table, "interchange": Interchanged(given.reset_index(drop=True))}
    source = data.load(kinds.get(made, Frame(table)), target="price")
    assert source.feature_names == NAMES
    assert (source.name, source.target) == ("arrays", "number")
    assert source.y.tolist() == given["price"].tolist()
    assert any("'house' is the index of a DataFrame" in note for note in source.notes) == (made == "pandas")


def test_columns_of_a_frame_are_named_as_those_of_a_file() -> None:
    given = frame().reset_index()
    source = data.load(given, target="price", groups="house", drop=["built"], categories=["rooms"])
    assert source.feature_names == (*NAMES[:4], "rooms=1", "rooms=3", "rooms=4", "rooms is missing")
    assert len(np.unique(source.splitter.groups)) == ROWS
    assert data.load(frame(), target="number", target_column="rooms", drop_missing_target=True).target == "number"
    assert lw.Task("mlp:4", source).source is not None


@pytest.mark.parametrize(
    ("given", "how", "match"),
    [
        (frame(), {}, "data DataFrame: target='...': must name the column to learn"),
        (frame(), {"target": "prize"}, "no column 'prize'; must be one of size.*did you mean 'price'"),
        (frame(), {"target": "price", "size": 9}, "only folders of pictures"),
        (frame().assign(size=[[1]] * ROWS), {"target": "price"}, "column 'size' is list"),
        (
            frame().assign(size=[1, "x"] * 20),
            {"target": "price"},
            "column .size. holds values of several types .int, str.",
        ),
    ],
)
def test_what_is_wrong_with_a_frame_is_said_on_one_line(given: object, how: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        data.load(given, **how)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_columns_without_names_are_called_by_their_numbers() -> None:
    given = pandas.DataFrame(np.arange(60.0).reshape(20, 3))
    given[3] = [0, 1] * 10
    assert data.load(given, target=3, drop=[0]).feature_names == ("1", "2")  # type: ignore[arg-type,list-item]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (pandas.DataFrame([[1, 2, 3]] * 4, columns=["a", "a", "y"]), r"^data DataFrame: has two columns 'a'"),
        (pandas.DataFrame({"a": [1, "two"] * 4, "y": [0, 1] * 4}), r"'a' holds values of several types \(int, str\)"),
        (pandas.DataFrame({"a": [1.0], "y": [0]}).iloc[0], "is a Series: must be a DataFrame"),
    ],
)
def test_frames_that_are_no_table_are_named_on_one_line(given: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        data.load(given, target="y")


def beside(rows: int = 60) -> pandas.DataFrame:
    random = np.random.default_rng(1)
    return pandas.DataFrame(
        {
            "size": random.normal(size=rows),
            "town": ["Rome", "Oslo", "Bonn"] * (rows // 3),
            "price": random.normal(size=rows),
            "stars": [1, 2, 4] * (rows // 3),
            "kind": ["flat", "house"] * (rows // 2),
        },
        index=random.permutation(rows),
    )


@pytest.mark.parametrize("target", ["price", "stars", "kind"])
@pytest.mark.parametrize("how", ["series", "array", "list", "frame", "arrow", "mapping"])
def test_a_frame_beside_its_targets_is_read_as_one_that_holds_them(target, how):
    both = beside()[["size", "town", target]]
    x, y = both.drop(columns=target), both[target]
    given = {
        "series": (x, y),
        "array": (x, y.to_numpy()),
        "list": (x, y.tolist()),
        "frame": (x, both[[target]]),
        "arrow": (pyarrow.Table.from_pandas(x), pyarrow.chunked_array([y.tolist()])),
        "mapping": {"x": x, "y": y},
    }[how]
    found, wanted = lw.load(given), lw.load(both, target=target)
    assert torch.equal(found.x, wanted.x)
    assert torch.equal(found.y, wanted.y)
    assert found.schema.columns == wanted.schema.columns
    assert (found.target, found.class_names) == (wanted.target, wanted.class_names)
    assert found.feature_names == ("size", "town=Bonn", "town=Oslo", "town=Rome")
    if how in ("series", "frame", "mapping"):
        assert found.schema == wanted.schema


def test_test_rows_of_frames_are_read_as_training_rows_were():
    table = beside()
    x, y = table[["size", "town"]], table["stars"]
    late = x[30:].assign(town=["Bonn", "Rome", "Turin"] * 10)
    for given in ((x[:30], y[:30], late, y[30:]), ((x[:30], y[:30]), (late, y[30:]))):
        source = lw.load(given)
        assert source.x_test[:3, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
        assert source.y_test.tolist() == [0, 1, 2] * 10
        assert any("10 values that training had not, such as 'Turin'" in note for note in source.notes)
    with pytest.raises(InputError, match="y_test has labels that are not in y: 9; must be 1, 2, 4"):
        lw.load((x[:30], y[:30], late, [9] * 30))
    with pytest.raises(InputError, match="has no column 'town'"):
        lw.load((x[:30], y[:30], late[["size"]], y[30:]))
    numbers = lw.load((x[:30], table["price"][:30], x[30:], table["price"][30:]))
    assert numbers.y_test.tolist() == table["price"][30:].tolist()


def test_what_a_frame_and_its_targets_must_be():
    table = beside()
    with pytest.raises(InputError, match="y is column 'price' of x, too: must not be both"):
        lw.load((table, table["price"]))
    with pytest.raises(InputError, match="x has 60 rows and y 40 labels"):
        lw.load((table[["size"]], table["price"][:40]))
    with pytest.raises(InputError, match="only one of x_test and y_test"):
        lw.load({"x": table[["size"]], "y": table["price"], "x_test": table[["size"]]})
    with pytest.raises(InputError, match="target_column = 'size': y is given"):
        lw.load((table[["size", "town"]], table["price"]), target_column="size")


def test_many_labels_and_several_targets_beside_a_frame():
    x = beside()[["size", "town"]]
    assert lw.load((x, pandas.Series([*range(30), *range(30)]))).classes == 30
    several = lw.load((x, beside()[["price", "stars"]]))
    assert (several.target, list(several.y.shape), several.feature_names[0]) == ("number", [60, 2], "size")
    assert lw.load({"x": x}, target="none").feature_names[0] == "size"


def test_structured_arrays_are_tables():
    table = beside()[["size", "town", "price"]]
    array = np.array(list(table.itertuples(index=False)), dtype=[("size", ">f8"), ("town", "U5"), ("price", "f8")])
    wanted = lw.load(table, target="price")
    for source in (lw.load(array, target="price"), lw.load((array[["size", "town"]], array["price"]))):
        assert torch.equal(source.x, wanted.x)
        assert torch.equal(source.y, wanted.y)
        assert source.feature_names == wanted.feature_names
