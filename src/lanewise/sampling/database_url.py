"""The URL of a database: where it may come from, and what of it may be shown or written down."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from lanewise.errors import InputError, a_type

EXAMPLES = "postgresql://user@host/name or sqlite:////folder/file.db"
ENVIRONMENT, FILE = "env:", "file:"
MASK = "***"
SHORT = 4
"""Characters from which on a secret is looked for and masked in a sentence; a shorter one may be part of any word."""
LONGEST_FILE = 1 << 16
"""Bytes of a file that holds one URL, at most."""

# What drivers document as no secret (libpq, psycopg, asyncpg, PyMySQL, mysqlclient, sqlite3). A key that is not here is
# masked: a new spelling of a password is then hidden, at worst together with a harmless option.
NO_SECRETS = """
host hostaddr port user username dbname database unix_socket unix_sock service servicefile passfile driver
application_name fallback_application_name client_encoding encoding charset collation connect_timeout timeout
read_timeout write_timeout command_timeout keepalives keepalives_idle keepalives_interval keepalives_count
tcp_user_timeout target_session_attrs load_balance_hosts gssencmode krbsrvname gsslib channel_binding require_auth
sslmode ssl sslcompression sslrootcert sslcert sslkey sslcrl sslsni ssl_ca ssl_cert ssl_key ssl_mode
ssl_min_protocol_version ssl_max_protocol_version mode cache uri nolock immutable check_same_thread isolation_level
prepare_threshold autocommit local_infile
"""
SHOWN = frozenset(NO_SECRETS.split())
ASSIGNED = re.compile(r"(?i)(pass|pwd|secret|token)\w*\s*=")
"""A password that stands where none belongs, in the name of the database say, as other connection strings have it."""


@dataclass(frozen=True)
class DatabaseURL:
    """A URL with what must not be shown.

    Attributes:
        text: the whole URL, for the driver. shown: without its secrets, for people. recorded: without them, for files.
        has_secrets: whether it had any.
    """

    text: str
    shown: str
    recorded: str
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"DatabaseURL({self.shown!r})"

    @property
    def has_secrets(self) -> bool:
        """Whether it holds a password, or what may be one."""
        return bool(self.secrets)

    @classmethod
    def of(cls, given: Any, recorded: str | None = None) -> "DatabaseURL":
        """The URL that `given` is, or names: `env:NAME` of an environment variable, `file:PATH` of a file.

        A relative path of an SQLite file becomes absolute, so that it means the same file in any folder.

        Args:
            recorded: of the record that is gone on with. A relative path that it ends in is the path that it holds.

        Raises:
            InputError: it is no URL of a database, or there is no such variable or file. No message holds its text.
        """
        if not isinstance(given, str):
            raise InputError(f"storage is {a_type(given)}: must be the URL of a database, such as {EXAMPLES}")
        text = fetched(given)
        try:
            url = make_url(text)
            if (whole := absolute(url, recorded)) is not url:
                url, text = whole, whole.render_as_string(hide_password=False)
            shown, secrets = without_secrets(url, MASK)
            recorded, _ = without_secrets(url, None)
        except (SQLAlchemyError, ValueError):
            # Without the text, which may hold a password.
            raise InputError(f"storage: is not the URL of a database; must be such as {EXAMPLES}") from None
        if "@" in (url.host or ""):
            raise InputError("storage: has an @ in its password; must be written %40 there")
        parts = [url.username, url.host, url.database, *values(url, shown_keys(url))]
        if any(ASSIGNED.search(part) for part in parts if part):
            raise InputError(
                "storage: holds a password where none belongs; it must stand as in postgresql://user:password@host/name"
            )
        return cls(text, shown, recorded, secrets)

    @property
    def path(self) -> Path | None:
        """The SQLite file, or None where it is another database or one in memory."""
        found = sqlite_path(make_url(self.text))
        return None if found is None else Path(found)

    def scrubbed(self, message: str) -> str:
        """`message`, of a driver say, without the secrets, however they are written in it."""
        message = message.replace(self.text, self.shown)
        spellings = {form(secret) for secret in self.secrets for form in (str, quote, quote_plus, _quoted)} - {""}
        if any(len(spelling) < SHORT and spelling in message for spelling in spellings):
            return "what it says is left out, since it may hold the password"
        # The longest first: one secret may be a part of another.
        for spelling in sorted(spellings, key=len, reverse=True):
            message = message.replace(spelling, MASK)
        return message


def fetched(given: str) -> str:
    """The text that `given` is, or that the environment variable or the file it names holds."""
    if given.startswith(ENVIRONMENT):
        name = given.removeprefix(ENVIRONMENT)
        text = os.environ.get(name, "")
        if not text.strip():
            raise InputError(f"storage = {given!r}: the environment variable {name} must hold the URL of a database")
        return text.strip()
    if given.startswith(FILE):
        path = Path(given.removeprefix(FILE)).expanduser()
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(LONGEST_FILE)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise InputError(f"storage = {given!r}: must be a file that holds the URL of a database: {why}") from None
        if len(text.split()) != 1:
            raise InputError(f"storage = {given!r}: must hold the URL of a database and nothing else")
        return text.strip()
    return given


def sqlite_path(url: URL) -> str | None:
    """The file of an SQLite database as `url` has it, or None."""
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or not name or ":memory:" in name or url.query.get("mode") == "memory":
        return None
    path = name.removeprefix(FILE)
    # file://host/path is no path of this folder.
    return None if path.startswith("//") else path


def absolute(url: URL, recorded: str | None) -> URL:
    """`url` with the absolute path of its SQLite file, if it has a relative one; see `DatabaseURL.of`."""
    path = sqlite_path(url)
    if path is None or Path(path).is_absolute():
        return url
    known = None if recorded is None else sqlite_path(make_url(recorded))
    parts = Path(path).parts
    same = known is not None and Path(known).parts[-len(parts) :] == parts
    whole = str(known) if same else str(Path(path).absolute())
    return url.set(database=f"{FILE * str(url.database).startswith(FILE)}{whole}")


def without_secrets(url: URL, mask: str | None) -> tuple[str, tuple[str, ...]]:
    """(`url` with `mask` in place of each secret, or without them where that is None; the secrets)."""
    open_keys = shown_keys(url)
    hidden = [key for key in url.query if key not in open_keys]
    secrets = [*([] if url.password is None else [str(url.password)]), *values(url, hidden)]
    query = {key: url.query[key] if key in open_keys else mask for key in url.query}
    password = None if url.password is None else mask
    # `URL.set(password=None)` would leave it.
    safe = url._replace(password=password).set(query={key: value for key, value in query.items() if value is not None})
    # An asterisk is escaped in a URL; people are shown it plainly.
    return safe.render_as_string(hide_password=False).replace(quote_plus(MASK), MASK), tuple(secrets)


def shown_keys(url: URL) -> list[str]:
    """The options behind the question mark that are no secrets."""
    return [key for key in url.query if key.lower() in SHOWN]


def values(url: URL, keys: Iterable[str]) -> list[str]:
    """What the options `keys` are set to; one may be given several times."""
    found = [url.query[key] for key in keys]
    return [value for one in found for value in ((one,) if isinstance(one, str) else one)]


def _quoted(text: str) -> str:
    return repr(text)[1:-1]
