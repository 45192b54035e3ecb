"""Where the rows looked on the images that they answer wrongly, computed when all answers are known. No TensorFlow."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.evaluation.error_tables import DOSSIERS, ERRORS_FILE, WrongAnswer, read_errors, read_lines
from steelbench.experiment import METHODS
from steelbench.files import write_json
from steelbench.progress import Progress
from steelbench.records import ActivationMaps, Record, RunRecord, activation_map_file, read_record
from steelbench.runs.jobs import Event
from steelbench.runs.robustness import together
from steelbench.runs.side_process import run_side_process
from steelbench.runs.worker_process import ending

# Of how maps are made.
VERSION = 1


class MapTask(Record):
    """An image that a row answers wrongly.

    Attributes:
        path: below the data folder.
        predicted: the class that the row names.
        label: the class that the data says.
        runs: of the row, that tested it; the map is the mean over their heads.
    """

    path: str
    predicted: str
    label: str
    runs: list[str]


class RowTask(Record):
    """The images of a row.

    Attributes:
        row: name of the row.
        classes: names, in the order of the head's outputs.
        fingerprint: of everything that decides the maps.
        images: hardest first.
    """

    row: str
    classes: list[str]
    fingerprint: str
    images: list[MapTask]


class NetworkTask(Record):
    """The rows that share a network.

    Attributes:
        model: path of a saved model with that network, in the results folder.
        rows: their tasks.
    """

    model: str
    rows: list[RowTask]

    @property
    def paths(self) -> list[str]:
        """Return the images of all rows, each once."""
        return list(dict.fromkeys(image.path for row in self.rows for image in row.images))


class MapRequest(Record):
    """What the process is told.

    Attributes:
        results: the results folder.
        root: the data folder.
        bit_depth: used bits of 16-bit files; None for all.
        networks: to compute.
    """

    results: str
    root: str
    bit_depth: int | None
    networks: list[NetworkTask]


def unmapped(results: Path) -> list[NetworkTask]:
    """Return the rows whose maps are not there, by the networks that they share."""
    found = []
    for network in wanted_maps(results):
        rows = [row for row in network.rows if not _is_mapped(results, row)]
        if rows:
            found.append(network.model_copy(update={"rows": rows}))
    return found


def maps_wait(results: Path) -> bool:
    """Return whether maps are missing, or newer than the report, which then lacks them."""
    try:
        drawn = (results / "report.html").stat().st_mtime
    except OSError:
        return True
    newer = (path.stat().st_mtime > drawn for path in (results / "activation_maps").glob("*.json"))
    return any(newer) or bool(unmapped(results))


def write_activation_maps(results: Path, root: Path, bit_depth: int | None, progress: Progress) -> None:
    """Compute the maps that are missing and write a record for each row; records of other rows are deleted.

    A row whose maps cannot be computed gets a record that says why.

    Args:
        results: the results folder, with its `errors.csv`.
        root: the data folder.
        bit_depth: used bits of 16-bit files; None for all.
        progress: called with images done and their number.
    """
    _delete_others(results, {row.row for network in wanted_maps(results) for row in network.rows})
    networks = unmapped(results)
    if not networks:
        return
    total = sum(len(network.paths) for network in networks)
    progress("maps", "wrong answers", 0, total)
    request = MapRequest(results=str(results.resolve()), root=str(root), bit_depth=bit_depth, networks=networks)
    path, log = results / "unfinished" / "activation_maps.json", results / "unfinished" / "activation_maps.log"
    write_json(path, request)

    def pass_on(event: Event) -> None:
        progress(event.step, "wrong answers", event.done, event.total)

    code = run_side_process("activation_maps_worker", path, log, pass_on)
    reason = ending(code, log)
    for row in (row for network in networks for row in network.rows):
        if not _is_mapped(results, row):
            record = ActivationMaps(fingerprint=row.fingerprint, problem=reason)
            write_json(activation_map_file(results, row.row), record)
    path.unlink(missing_ok=True)
    if not code:
        log.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        # Logs of others may be there.
        path.parent.rmdir()


def wanted_maps(results: Path) -> list[NetworkTask]:
    """Return the maps that the report shows: of the hardest images, for each row that answers them wrongly.

    Args:
        results: the results folder, with its `errors.csv`.
    """
    errors = read_errors(results / ERRORS_FILE) or []
    hardest = set(list(dict.fromkeys(error.path for error in errors))[:DOSSIERS])
    answers: dict[str, list[WrongAnswer]] = defaultdict(list)
    for error in errors:
        if error.path in hardest:
            answers[error.row].append(error)
    runs = _read_runs(results, answers)
    offered = {name: own for name, records in runs.items() if (own := _offered(results, records))}
    networks = []
    for names in together(list(offered.values())):
        tasks = [_task(results, answers[name], offered[name], runs[name]) for name in names]
        rows = [task for task in tasks if task.images]
        if rows:
            networks.append(NetworkTask(model=str(offered[names[0]].model), rows=rows))
    return networks


def _read_runs(results: Path, names: Mapping[str, object]) -> dict[str, list[RunRecord]]:
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for path in sorted((results / "runs").glob("*/result.json")):
        try:
            record = read_record(path, RunRecord)
        except SteelbenchError:
            # The leaderboard says what is wrong with it.
            continue
        if record.name in names and record.method in METHODS and (path.parent / "head.npz").is_file():
            runs[record.name].append(record)
    return runs


def _offered(results: Path, records: Sequence[RunRecord]) -> RunRecord | None:
    """Return the run whose whole model is saved."""
    return next((own for own in records if own.model and (results / own.model).is_file()), None)


def _task(results: Path, answers: Sequence[WrongAnswer], offered: RunRecord, records: Sequence[RunRecord]) -> RowTask:
    """Return the maps of one row.

    Args:
        results: the results folder.
        answers: of the row, wrong ones.
        offered: the run whose model is saved.
        records: all runs of the row.
    """
    trained = METHODS[offered.method].settings(**offered.settings).on_images
    # Every run has a head, but only one of them has its network, where that is not the same for all.
    usable = [offered] if trained or offered.homogenize != "none" else records
    tested = {
        own.run_name: {line.get("path") for line in read_lines(results / "runs" / own.run_name / "predictions.csv")}
        for own in usable
    }
    images = [
        MapTask(path=own.path, predicted=own.predicted, label=own.label, runs=runs)
        for own in answers
        if (runs := [name for name, paths in tested.items() if own.path in paths])
    ]
    parts = [str(VERSION), *(own.fingerprint for own in (offered, *usable)), *(own.model_dump_json() for own in images)]
    fingerprint = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return RowTask(row=offered.name, classes=offered.classes, fingerprint=fingerprint, images=images)


def _is_mapped(results: Path, row: RowTask) -> bool:
    try:
        return read_record(activation_map_file(results, row.row), ActivationMaps).fingerprint == row.fingerprint
    except SteelbenchError:
        return False


def _delete_others(results: Path, names: set[str]) -> None:
    """Delete records of rows without wrong answers, and what a killed process left."""
    keep = {activation_map_file(results, name) for name in names}
    for path in (results / "activation_maps").glob("*"):
        if path not in keep and path.is_file():
            path.unlink(missing_ok=True)
