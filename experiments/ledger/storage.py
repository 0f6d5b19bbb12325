"""The database behind a ledger, opened so that claims are atomic."""

import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage

from experiments.ledger.outage import GRACE, parse
from experiments.ledger.outage import StorageError as StorageError
from experiments.ledger.outage import patiently as patiently
from experiments.ledger.outage import shown as shown

BEAT = 5  # seconds between two heartbeats: nothing to a database, even from a hundred workers
BUSY = 15  # seconds SQLite itself waits for another's lock before it says so


def open_storage(url: str) -> RDBStorage:
    """The storage at a SQLAlchemy URL of SQLite or PostgreSQL, its tables made where missing.

    Raises:
        StorageError: another kind of database, no driver for it, or a server that refuses.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings quote the driver
    kind = parse(url).get_backend_name()
    if kind not in ("sqlite", "postgresql") or not parse(url).database:
        raise StorageError(
            f"--storage {shown(url)}: a {kind} database, expected "
            "postgresql+psycopg://user@host/database or sqlite:///FILE"
        )

    def opened() -> RDBStorage:
        with exclusive(url):  # several workers may make the tables at once
            return _sqlite(url) if kind == "sqlite" else _postgresql(url)

    try:
        return patiently(opened, url)
    except ImportError as error:
        raise StorageError(
            f'--storage {shown(url)} needs a driver: pip install -e ".[postgresql]" and a URL '
            "that begins with postgresql+psycopg://"
        ) from error


def open_study(
    storage: RDBStorage, url: str, name: str, metric: str | None = None
) -> optuna.Study:
    """The study of that name, made where there is none: better is what is better in `metric`."""
    sampler = optuna.samplers.RandomSampler()  # a ledger samples nothing
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
        parsed, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT"
    )
    key = zlib.crc32(b"seglossary")
    with engine.connect() as connection:
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
    connect = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
    # A worker has two threads: the one that runs and the one that beats.
    return _storage(
        url,
        {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 2, "connect_args": connect},
    )


def _storage(url: str, engine: dict[str, Any]) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url, engine_kwargs=engine, heartbeat_interval=BEAT, grace_period=GRACE
        )
    weakref.finalize(storage, storage.engine.dispose)  # else its connections stay open
    return storage
