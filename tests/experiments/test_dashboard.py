"""What Optuna's dashboard shows of a study, asked of its real server."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from PIL import Image

from experiments.artifacts import FOLDER, attach

Ask = Callable[[str], bytes]


def finished_study(folder: Path) -> str:
    """A study as the ledger leaves one: names, curve, value and preview of a single trial."""
    url = f"sqlite:///{folder / 'ledger.db'}"
    study = optuna.create_study(study_name="search/a/smoke", storage=url, direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["F_weighted"])
    trial = study.ask()
    trial.suggest_categorical("objective", ["bce", "mae"])
    trial.set_user_attr("arm", "bce")
    trial.report(0.25, 3)
    Image.new("RGB", (8, 8), "red").save(folder / "preview.png")
    attach(trial.storage, trial._trial_id, folder / "preview.png", folder)
    attach(trial.storage, trial._trial_id, folder / "nothing.png", folder)
    study.tell(trial, 0.5)
    return url


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """The dashboard's server on a free port, started by the command that a grid's end tells."""
    folder = tmp_path_factory.mktemp("dashboard")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    options = [finished_study(folder), "--artifact-dir", str(folder / FOLDER), "--port", str(port)]
    server = subprocess.Popen([program, *options], stderr=subprocess.DEVNULL)

    def get(path: str) -> bytes:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as page:
                    return bytes(page.read())
            except urllib.error.URLError as error:
                if isinstance(error, urllib.error.HTTPError) or time.monotonic() > deadline:
                    raise
                assert server.poll() is None
                time.sleep(0.1)

    yield get
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def shown(ask: Ask) -> dict[str, Any]:
    """The study as the dashboard's page gets it."""
    [listed] = json.loads(ask("/api/studies"))["study_summaries"]
    assert listed["study_name"] == "search/a/smoke"
    study: dict[str, Any] = json.loads(ask(f"/api/studies/{listed['study_id']}"))
    return {**study, "id": listed["study_id"]}


def test_the_dashboard_shows_names_value_and_curve_of_a_trial(shown) -> None:
    assert shown["objective_names"] == ["F_weighted"]
    assert shown["directions"] == ["maximize"]
    [trial] = shown["trials"]
    assert trial["state"] == "Complete"
    assert trial["values"] == [0.5]
    assert trial["intermediate_values"] == [{"step": 3, "value": 0.25}]
    assert {"key": "arm", "value": "bce"} in trial["user_attrs"]
    assert trial["params"][0]["name"] == "objective"


def test_the_dashboard_serves_a_trials_preview(shown, ask) -> None:
    [trial] = shown["trials"]
    [artifact] = trial["artifacts"]  # none for the file that is not there
    assert artifact["filename"] == "preview.png"
    assert artifact["mimetype"] == "image/png"
    path = f"/artifacts/{shown['id']}/{trial['trial_id']}/{artifact['artifact_id']}"
    assert ask(path).startswith(b"\x89PNG")


def test_the_dashboards_page_is_there(ask) -> None:
    assert b"<html" in ask("/dashboard/").lower()
