"""Images of a trial for the dashboard: Optuna artifacts, kept beside the study's runs."""

from pathlib import Path

from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.storages import BaseStorage

FOLDER = "artifacts"  # below the study's folder; the dashboard's --artifact-dir


def attach(storage: BaseStorage, trial_id: int, file: Path, folder: Path) -> None:
    """Show `file` at a trial, from a copy in `folder`/artifacts; nothing where there is no file.

    The trial must be running: Optuna refuses attributes of a finished one. A copy has a name of
    its own, so a kill while writing leaves a file that no finished trial knows.
    """
    if not file.is_file():
        return
    (folder / FOLDER).mkdir(exist_ok=True)
    upload_artifact(
        artifact_store=FileSystemArtifactStore(folder / FOLDER),
        file_path=str(file),
        study_or_trial=storage.get_trial(trial_id),
        storage=storage,
    )
