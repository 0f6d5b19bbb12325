"""A storage that is away is waited for; what waiting does not mend is told, without passwords."""

import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from tqdm import tqdm

from experiments.errors import UserError

T = TypeVar("T")

GRACE = 60  # silence after which a worker is taken for dead: longer than a database's restart
PATIENCE = 600.0  # how long a storage may be away: a machine's reboot, not a holiday
PAUSES = (0.5, 15.0)  # the first and the longest pause between two tries
# SQLSTATE classes of what waiting mends: connection lost, too many connections, deadlock and
# serialisation, server starting or stopping. Connecting has no SQLSTATE: see REFUSED.
PASSING = ("08", "53300", "40", "57P")
REFUSED = ("authentication failed", "does not exist", "no password supplied", "pg_hba.conf")
FORBIDDEN = "42501"  # PostgreSQL: the user may not use this schema or table
SECRETS = ("password", "sslpassword")

_last_away = -float(GRACE)  # when, on the monotonic clock, a storage was last found away


class StorageError(UserError):
    """The storage cannot be used: waiting does not mend it, or it was away for too long."""


def shown(url: str) -> str:
    """The URL as it may be printed: without its passwords.

    >>> shown("postgresql+psycopg://me:secret@host/db?sslpassword=secret")
    'postgresql+psycopg://me@host/db'
    """
    parsed = parse(url)
    plain = URL.create(
        parsed.drivername, parsed.username, None, parsed.host, parsed.port, parsed.database
    )
    kept = {k: v for k, v in parsed.query.items() if k.lower() not in SECRETS}
    return plain.set(query=kept).render_as_string()


def has_password(url: str) -> bool:
    """Whether the URL holds a password."""
    parsed = parse(url)
    return bool(parsed.password) or any(key.lower() in SECRETS for key in parsed.query)


def patiently(call: Callable[[], T], url: str, *, tell: bool = True) -> T:
    """The result of `call`, which is tried again while the storage at `url` is away.

    It may be tried after it took effect without our hearing of it, so it must bear that.

    Raises:
        StorageError: what waiting does not mend, or away for longer than PATIENCE.
    """
    global _last_away
    began, pause, told = time.monotonic(), PAUSES[0], False
    while True:
        try:
            result = call()
        except Exception as error:
            trouble = _trouble(error)
            if trouble is None:
                raise
            reason = f"storage {shown(url)}: {_words(trouble, url)}"
        else:
            if told:
                tqdm.write(f"the storage {shown(url)} is back", sys.stderr)
            return result
        if not _passes(trouble):
            raise StorageError(f"{reason}{_room(url)}")
        _last_away = time.monotonic()
        if _last_away - began > PATIENCE:
            raise StorageError(
                f"{reason}; it has been away for {PATIENCE / 60:.0f} minutes; when it is back, "
                "the same command goes on"
            )
        if tell and not told:
            tqdm.write(f"waiting for the {reason}", sys.stderr)
            told = True
        time.sleep(pause)
        pause = min(2 * pause, PAUSES[1])


def is_away(error: Exception) -> bool:
    """Whether an error is one of the storage that waiting mends."""
    trouble = _trouble(error)
    return trouble is not None and _passes(trouble)


def came_back() -> None:
    """From now on this process uses a storage, which may have been away until now."""
    global _last_away
    _last_away = time.monotonic()


def steady() -> bool:
    """Whether this process saw the storage for GRACE seconds, in which it was not away.

    When it comes back, every heartbeat is old: no worker may be taken for dead by it yet.
    """
    return time.monotonic() - _last_away > GRACE


def parse(url: str) -> URL:
    """The URL in its parts.

    Raises:
        StorageError: it is none, or one whose password cannot be told from its host.
    """
    if url.count("@") > 1 and not url.startswith("sqlite"):
        raise StorageError(
            "--storage holds more than one @; put the password into ~/.pgpass "
            "(host:port:database:user:password, mode 600), or write %40 for an @ inside it"
        )
    try:
        return make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # its text may hold the password
        raise StorageError(
            "--storage is no database URL; expected postgresql+psycopg://user@host/database"
        ) from None


def _trouble(error: BaseException | None) -> BaseException | None:
    """The driver's own error behind one of Optuna or SQLAlchemy, where the storage is at fault."""
    while error is not None:
        if isinstance(error, sqlalchemy.exc.TimeoutError):
            return error
        if isinstance(error, (OperationalError, InterfaceError)):
            return error.orig
        if isinstance(error, DBAPIError):
            theirs = getattr(error.orig, "sqlstate", None) == FORBIDDEN
            damaged = type(error.orig) is sqlite3.DatabaseError
            return error.orig if theirs or damaged or _mistaken(error) else None
        error = error.__cause__
    return None


def _mistaken(error: DBAPIError) -> bool:
    """Whether the driver refused the URL itself, such as an option that there is not."""
    asked = getattr(error.orig, "sqlstate", None) is not None  # the server answered
    ours = isinstance(error.orig, sqlite3.Error)
    return isinstance(error, ProgrammingError) and not asked and not ours


def _passes(trouble: BaseException) -> bool:
    if isinstance(trouble, sqlite3.Error):
        code = getattr(trouble, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    state = getattr(trouble, "sqlstate", None)
    if state is not None:
        return str(state).startswith(PASSING)
    if type(trouble).__name__ == "ProgrammingError":  # the driver's: see _mistaken
        return False
    return not any(words in str(trouble) for words in REFUSED)


def _words(trouble: BaseException, url: str) -> str:
    """The driver's words on one line, without passwords."""
    text, parsed = " ".join(str(trouble).split()), parse(url)
    secrets = [parsed.password or ""]
    for key, value in parsed.query.items():
        if key.lower() in SECRETS:
            secrets += [value] if isinstance(value, str) else value
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _room(url: str) -> str:
    """Where SQLite's file lies and how much room is left there."""
    file = parse(url).database
    if parse(url).get_backend_name() != "sqlite" or not file:
        return ""
    return f"; {room(Path(file).parent)}"


def room(folder: Path) -> str:
    """How much room is left for a folder, for messages."""
    try:
        return f"{shutil.disk_usage(folder).free / 2**20:,.0f} MiB are free in {folder}"
    except OSError as error:
        return f"{folder}: {error.strerror}"
