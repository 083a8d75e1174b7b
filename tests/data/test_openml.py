"""scikit-learn's own reader works on a cache written here, so that nothing is fetched."""

import gzip
import hashlib
import json
import urllib.error

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from lanewise import data
from lanewise.errors import InputError

ARFF = """@relation small
@attribute age numeric
@attribute town {Oslo,Rome}
@attribute person numeric
@attribute class {no,yes}
@data
31,Rome,1,yes
?,Oslo,1,no
45,?,2,yes
28,Rome,2,no
"""
FEATURES = [
    {"index": str(number), "name": name, "data_type": kind, "is_target": str(name == "class").lower()}
    | {"is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
    for number, (name, kind) in enumerate(
        [("age", "numeric"), ("town", "nominal"), ("person", "numeric"), ("class", "nominal")]
    )
]


@pytest.fixture
def _cached(tmp_path, monkeypatch):
    """Data set 7 in scikit-learn's cache."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda seconds: None)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", unreachable)
    description = {
        "id": "7",
        "name": "small",
        "version": "1",
        "format": "ARFF",
        "status": "active",
        "description": "made here",
        "file_id": "70",
        "url": "https://api.openml.org/data/v1/download/70/small.arff",
        "md5_checksum": hashlib.md5(ARFF.encode()).hexdigest(),
        "default_target_attribute": "class",
    }
    write = {
        "openml.org/api/v1/json/data/7": json.dumps({"data_set_description": description}),
        "openml.org/api/v1/json/data/features/7": json.dumps({"data_features": {"feature": FEATURES}}),
        "openml.org/api/v1/json/data/qualities/7": json.dumps(
            {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "4.0"}]}}
        ),
        "openml.org/data/v1/download/70/small.arff": ARFF,
    }
    for name, text in write.items():
        path = tmp_path / "openml" / f"{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))


def unreachable(*_, **__):
    raise urllib.error.URLError("no route to host")


@pytest.mark.usefixtures("_cached")
def test_a_data_set_in_the_cache():
    source = data.load("openml:7", drop=["person"])
    assert source.name == "openml:7"
    assert source.feature_names == ("age", "age is missing", "town=Oslo", "town=Rome", "town is missing")
    nan = float("nan")
    wanted = [[31, 0, 0, 1, 0], [nan, 1, 1, 0, 0], [45, 0, 0, 0, 1], [28, 0, 0, 1, 0]]
    np.testing.assert_array_equal(source.x, wanted)
    assert (source.y.tolist(), source.class_names) == ([1, 0, 1, 0], ("no", "yes"))


@pytest.mark.usefixtures("_cached")
def test_another_target_and_groups():
    held = data.load("openml:7", groups="person")
    assert held.splitter.groups.tolist() == [0, 0, 1, 1]
    assert held.feature_names[-1] == "town is missing"
    learnt = data.load("openml:7", target_column="person", drop=["age"])
    assert (learnt.target, learnt.y.tolist()) == ("number", [1, 1, 2, 2])


@pytest.mark.usefixtures("_cached")
@pytest.mark.parametrize(
    ("name", "given", "match"),
    [
        (
            "openml:8",
            {},
            r"is not in the cache \(.*\) and cannot be fetched \(URLError: .*no route.*\); is there a network",
        ),
        ("openml:iris", {}, "is not in the cache"),
        ("openml:", {}, "names nothing: must be openml:NAME or openml:NUMBER"),
        ("openml:7", {"drop": ["x"]}, "no column 'x'; must be one of age, town, person"),
        ("openml:7", {"target_column": "x"}, "scikit-learn cannot read it"),
        ("openml:7", {"size": 9}, "only folders of pictures are resized"),
    ],
)
def test_what_cannot_be_had_is_said_on_one_line(name, given, match):
    with pytest.raises(InputError, match=match) as caught:
        data.load(name, **given)
    assert "\n" not in str(caught.value)


def test_several_targets_and_missing_ones_are_refused(monkeypatch):
    def fetch(target):
        bunch = Bunch(data=np.ones((2, 1)), feature_names=["a"], categories={}, target=target, target_names=["t"])
        monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda **_: bunch)

    fetch(np.ones((2, 2)))
    with pytest.raises(InputError, match="names 2 targets: say target_column"):
        data.load("openml:two")
    fetch(np.array(["a", None], dtype=object))
    with pytest.raises(InputError, match="column 't' is missing in 1 rows, first in row 1"):
        data.load("openml:two")
