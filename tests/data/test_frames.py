"""DataFrames are tables: of pandas, and of any library that gives its columns to Arrow."""

import numpy as np
import pandas
import pyarrow
import pytest

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
        (frame(), {}, r"data DataFrame: which column is to be learnt\?"),
        (frame(), {"target": "prize"}, "no column 'prize'; it has size.*did you mean 'price'"),
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


def test_a_frame_of_text_without_its_target_is_pointed_to_the_way_of_tables() -> None:
    with pytest.raises(InputError, match="x is a DataFrame with columns that are no numbers: give one DataFrame"):
        data.load((pandas.DataFrame({"a": ["r", "g"] * 4}), [0, 1] * 4))
