"""A database's URL: no secret is shown, recorded or quoted, however it is spelt."""

import json
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

import pytest

import lanewise as lw
from lanewise.errors import InputError
from lanewise.sampling.database_url import DatabaseURL
from lanewise.sampling.drawing import Drawing
from lanewise.sampling.optuna_storage import StudyRecord

SPELLINGS = [
    "postgresql://bob:S3CRET@host/races",
    "postgresql://:S3CRET@host/races",
    "postgresql+psycopg://bob:S3CRET%40%2F@host/races",
    "postgresql://host/races?user=bob&password=S3CRET",
    "postgresql://host/races?user=bob&%70assword=S3CRET",
    "postgresql://host/races?user=bob&PASSWORD=S3CRET",
    "postgresql://host/races?password=x&password=S3CRET",
    "postgresql://bob@host/races?sslmode=require&sslpassword=S3CRET",
    "postgresql://bob@host/races?options=-c%20my.secret%3DS3CRET",
    "mysql+pymysql://host/races?user=bob&passwd=S3CRET",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7Bx%7D%3BUID%3Dbob%3BPWD%3DS3CRET",
    "snowflake://bob@account/races?authenticator=oauth&token=S3CRET",
    "sqlite:////folder/races.db?password=S3CRET",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_no_secret_is_shown_or_recorded(text: str) -> None:
    url = DatabaseURL.of(text)
    assert url.text == text
    assert url.has_secrets
    drawing = Drawing.asked(storage=text)
    for seen in (url.shown, url.recorded, repr(url), json.dumps(drawing.to_dict()), repr(drawing)):
        assert "S3CRET" not in seen
    assert drawing.to_dict()["password"] is True
    secret = url.secrets[-1]
    for said in (f"FATAL: login with {text} failed", f"bad: {secret}, {quote(secret)} and {secret!r}"):
        assert "S3CRET" not in url.scrubbed(said)
    with pytest.raises(InputError, match="give it again") as caught:
        Drawing.recorded(drawing.to_dict(), "resume x")
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://bob@host:5432/races", "postgresql://bob@host:5432/races"),
        ("postgresql://bob@host/races?sslmode=require", "postgresql://bob@host/races?sslmode=require"),
        ("postgresql://bob:S3CRET@host/races", "postgresql://bob:***@host/races"),
        ("postgresql://host/races?user=bob&password=S3CRET", "postgresql://host/races?password=***&user=bob"),
        ("sqlite:////folder/races.db", "sqlite:////folder/races.db"),
    ],
)
def test_the_rest_is_shown(text: str, shown: str) -> None:
    assert DatabaseURL.of(text).shown == shown


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://bob:p@S3CRET@host/races",
        "postgresql://host/races;password=S3CRET",
        "postgresql://host/races?user=bob#password=S3CRET",
        "host=host user=bob password=S3CRET",
        "postgresql://bob:S3CRET@host:54x2/races",
        b"postgresql://bob:S3CRET@host/races",
        ("S3CRET",),
        "env:LANEWISE_NO_SUCH_VARIABLE",
        "file:/no/such/file",
    ],
)
def test_what_is_refused_is_not_quoted(text: object) -> None:
    with pytest.raises(InputError, match="storage") as caught:
        DatabaseURL.of(text)
    assert "S3CRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_short_password_hides_the_whole_message() -> None:
    url = DatabaseURL.of("postgresql://bob:or@host/races")
    assert (
        url.scrubbed("password for bob is wrong or missing")
        == "what it says is left out, since it may hold the password"
    )
    assert url.scrubbed("FATAL: host is down") == "FATAL: host is down"


def test_it_is_taken_from_the_environment_and_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "postgresql://bob:S3CRET@host/races"
    monkeypatch.setenv("RACES", f" {text}\n")
    assert DatabaseURL.of("env:RACES").text == text
    (tmp_path / "url").write_text(f"{text}\n")
    assert DatabaseURL.of(f"file:{tmp_path / 'url'}").text == text
    (tmp_path / "url").write_text(f"{text} {text}")
    with pytest.raises(InputError, match="must hold the URL of a database and nothing else"):
        DatabaseURL.of(f"file:{tmp_path / 'url'}")
    (tmp_path / "url").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="must be a file that holds the URL of a database: it is no text"):
        DatabaseURL.of(f"file:{tmp_path / 'url'}")


def test_a_driver_that_quotes_the_password_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = StudyRecord(f"sqlite:///file:{tmp_path / 'races.db'}?uri=true&password=S3CRET")

    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("invalid connection option S3CRET")

    monkeypatch.setattr(record, "_empty", fail)
    with pytest.raises(InputError, match=r"invalid connection option \*\*\*") as caught:
        record.write([], anew=True)
    assert "S3CRET" not in str(caught.value)
    record.close()


def test_nothing_in_the_folder_of_a_race_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACES", f"sqlite:///file:{tmp_path / 'races.db'}?uri=true&key=S3CRET")
    space = lw.Recipe(optimizer=lw.SGD(lr=lw.log(0.01, 1)), batch_size=128, epochs=1)
    task = lw.Task("mlp:4", "digits")
    folder = tmp_path / "race"
    race = lw.race(task, space, out=folder, storage="env:RACES", candidates=2, repeats=1, generations=1, confirm=2)
    race.report(folder / "again.html")
    for path in folder.rglob("*"):
        assert path.is_dir() or b"S3CRET" not in path.read_bytes(), path
    assert "S3CRET" in os.environ["RACES"]


@pytest.mark.parametrize(
    "form", ["sqlite:///{}", "sqlite:///file:{}?uri=true&password=S3CRET", "sqlite+pysqlite:///{}"]
)
def test_a_relative_file_is_the_same_from_another_folder(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file, given = tmp_path / "here" / "relative.db", form.format("relative.db")
    drawing = Drawing.asked(storage=given)
    recorded = json.loads(json.dumps(drawing.to_dict()))
    assert str(file) in recorded["storage"]
    assert "S3CRET" not in recorded["storage"]
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"resume x: storage: .*here/relative.db: there is no such file"):
        Drawing.recorded(recorded, "resume x", storage=given)
    for name in ("here", "elsewhere"):
        (tmp_path / name / "relative.db").touch()
    for again in (given, form.format(file)):
        url = DatabaseURL.of(Drawing.recorded(recorded, "resume x", storage=again).storage)
        assert url.path == file
    # One that was moved is given by its new path.
    moved = Drawing.recorded(recorded, "resume x", storage=form.format(tmp_path / "elsewhere" / "relative.db"))
    assert DatabaseURL.of(moved.storage).path == tmp_path / "elsewhere" / "relative.db"


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:", "postgresql://bob@host/races"])
def test_what_is_no_file_has_no_path(text: str) -> None:
    url = DatabaseURL.of(text)
    assert (url.text, url.path) == (text, None)
