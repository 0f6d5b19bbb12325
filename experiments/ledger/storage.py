"""The database behind a ledger, opened so that claims are atomic."""

import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage

from experiments.ledger.outage import GRACE, StorageError, came_back, parse, patiently, shown

BEAT = 5  # seconds between two heartbeats: nothing to a database, even from a hundred workers
BUSY = 15  # seconds SQLite itself waits for another's lock before it says so


CONNECT = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
# The server's side of the same: it drops the lock of a machine that lost power within a minute.
KEEPALIVE = "SELECT set_config('tcp_keepalives_{}', '{}', false)"
KEEPALIVES = (("idle", 30), ("interval", 10), ("count", 3))


def open_storage(url: str, *, make: bool = True, tell: bool = True) -> RDBStorage:
    """The storage at a SQLAlchemy URL of SQLite or PostgreSQL, its tables made where missing.

    Args:
        url: where it is.
        make: False for a look that makes nothing, not even a lock.
        tell: whether to say on stderr that it is away.

    Raises:
        StorageError: another kind of database, no driver for it, or a server that refuses.
        KeyError: no storage is there, and none is to be made.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings quote the driver
    kind = parse(url).get_backend_name()
    if kind == "sqlite" and _in_memory(url):
        raise StorageError(
            f"--storage {shown(url)}: every worker would have a database of its own in its "
            "memory; expected sqlite:///FILE"
        )
    if kind not in ("sqlite", "postgresql") or not parse(url).database:
        raise StorageError(
            f"--storage {shown(url)}: a {kind} database, expected "
            "postgresql+psycopg://user@host/database or sqlite:///FILE"
        )

    def opened() -> RDBStorage:
        if not make:
            if not _is_there(url):
                raise KeyError(shown(url))
            return _storage(
                url, {"connect_args": {"timeout": BUSY} if kind == "sqlite" else CONNECT}
            )
        with exclusive(url):  # several workers may make the tables at once
            return _sqlite(url) if kind == "sqlite" else _postgresql(url)

    try:
        storage = patiently(opened, url, tell=tell)
        came_back()
        return storage
    except ImportError as error:
        raise StorageError(
            f'--storage {shown(url)} needs a driver: pip install -e ".[postgresql]" and a URL '
            "that begins with postgresql+psycopg://"
        ) from error


def _in_memory(url: str) -> bool:
    name = parse(url).database or ""
    return name in ("", ":memory:", "file:") or "mode=memory" in url or ":memory:" in name


def _is_there(url: str) -> bool:
    """Whether Optuna's tables are there."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return False
    engine = sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.NullPool)
    return sqlalchemy.inspect(engine).has_table("alembic_version")


def open_study(
    storage: RDBStorage, url: str, name: str, metric: str | None = None, *, make: bool = True
) -> optuna.Study:
    """The study of that name, made where there is none: better is what is better in `metric`.

    Raises:
        KeyError: there is none, and none is to be made.
    """
    sampler = optuna.samplers.RandomSampler()  # a ledger samples nothing
    if not make:
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    with exclusive(url):
        with suppress(KeyError):
            return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
        direction = "maximize"
        if metric is not None:
            from experiments.metrics import LOWER_IS_BETTER  # PySODMetrics: no worker needs it

            direction = "minimize" if metric in LOWER_IS_BETTER else direction
        study = optuna.create_study(
            study_name=name, storage=storage, direction=direction, sampler=sampler
        )
        if metric is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names([metric])
        return study


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Holds a lock that one process at a time has, of all that use the storage at `url`.

    A file lock beside a SQLite file, an advisory lock in PostgreSQL; the system or the server
    drops it when the process dies.
    """
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        with FileLock(f"{parsed.database}.lock"):
            yield
        return
    engine = sqlalchemy.create_engine(
        parsed,
        poolclass=sqlalchemy.NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args=CONNECT,
    )
    key = zlib.crc32(b"seglossary")
    with engine.connect() as connection:
        for name, value in KEEPALIVES:
            connection.execute(sqlalchemy.text(KEEPALIVE.format(name, value)))
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({key})"))
        yield


def _sqlite(url: str) -> RDBStorage:
    """A storage whose transactions take the write lock at their start.

    SQLite's default lets two workers read the same waiting trial before either writes; with it,
    4 workers were handed 38 of 240 trials twice.
    """
    storage = _storage(url, {"connect_args": {"timeout": BUSY}})
    engine = storage.engine

    @sqlalchemy.event.listens_for(engine, "connect")
    def _manual_transactions(connection, _record):  # type: ignore[no-untyped-def]
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(engine, "begin")
    def _begin_immediate(connection):  # type: ignore[no-untyped-def]
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.remove_session()
    engine.dispose()  # connections made before the listeners were there
    return storage


def _postgresql(url: str) -> RDBStorage:
    # A worker has two threads: the one that runs and the one that beats.
    return _storage(
        url,
        {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 2, "connect_args": CONNECT},
    )


def _storage(url: str, engine: dict[str, Any]) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url, engine_kwargs=engine, heartbeat_interval=BEAT, grace_period=GRACE
        )
    weakref.finalize(storage, storage.engine.dispose)  # else its connections stay open
    return storage
