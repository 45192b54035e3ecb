"""Send runs to MLflow: into `RESULTS/mlruns`, or to the server or folder that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from steelbench.errors import SteelbenchError
from steelbench.files import write_json
from steelbench.records import Record, read_record
from steelbench.runs.tracking import Curve, TrackedRun

FOLDER = "mlruns"
# A request of MLflow's takes so many values at once.
METRICS, OTHERS = 1000, 100
NAME, OWNER, DIGEST = "steelbench.name", "steelbench.folder", "steelbench.digest"
# Set unless the user did. No telemetry; no minutes of waiting for a server that is not there; and the folder that
# MLflow calls "in maintenance mode", as mlflow-skinny has no other store without a server.
SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}


class TrackedFolder(Record):
    """RESULTS/tracking.json: the name under which a tracker knows the folder, wherever it is moved."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")


def send(results: Path, experiment: str, runs: Sequence[TrackedRun]) -> None:
    """Send what MLflow does not have yet of this folder; a run whose numbers changed is deleted and sent again.

    Args:
        results: the results folder.
        experiment: name of MLflow's experiment.
        runs: each row before its runs, which become its children.
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or (results / FOLDER).resolve().as_uri())
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    folder = _folder_id(results)
    known = {run.data.tags.get(NAME): run for run in _known(client, place, folder)}
    ids: dict[str, str] = {}
    for run in runs:
        before = known.get(run.name)
        parent = ids.get(run.row, "")
        if before is not None and before.data.tags.get(DIGEST) == run.digest and _is_child(before, parent):
            ids[run.name] = before.info.run_id
            continue
        if before is not None:
            client.delete_run(before.info.run_id)
        ids[run.name] = _create(client, place, folder, run, parent)


def _is_child(before: Any, parent: str) -> bool:
    """Return whether a run hangs below the row that MLflow has now."""
    return str(before.data.tags.get("mlflow.parentRunId", "")) == parent


def _folder_id(results: Path) -> str:
    path = results / "tracking.json"
    try:
        return read_record(path, TrackedFolder).id
    except SteelbenchError:
        made = TrackedFolder(id=uuid.uuid4().hex)
        write_json(path, made)
        return made.id


def _known(client: Any, place: str, folder: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([place], f"tags.`{OWNER}` = '{folder}'", max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _create(client: Any, place: str, folder: str, run: TrackedRun, parent: str) -> str:
    from mlflow.entities import Metric, Param, RunTag

    end = int(1000 * run.finished)
    tags = run.tags | {NAME: run.name, OWNER: folder, "mlflow.source.name": "steelbench"}
    if parent:
        tags["mlflow.parentRunId"] = parent
    start = end - int(1000 * run.seconds)
    made = str(client.create_run(place, start_time=start, tags=tags, run_name=run.name).info.run_id)
    metrics = [Metric(name, value, end, 0) for name, value in run.metrics.items()]
    metrics += [Metric(_key(own), value, end, epoch) for own in run.curves for epoch, value in own.points]
    for first in range(0, len(metrics), METRICS):
        client.log_batch(made, metrics=metrics[first : first + METRICS])
    params = [Param(name, value) for name, value in run.params.items()]
    for first in range(0, len(params), OTHERS):
        client.log_batch(made, params=params[first : first + OTHERS])
    client.set_terminated(made, end_time=end)
    # Last, so that a run which was cut off is sent again.
    client.log_batch(made, tags=[RunTag(DIGEST, run.digest)])
    return made


def _key(curve: Curve) -> str:
    return curve.name if curve.last else f"{curve.stage}/{curve.name}"
