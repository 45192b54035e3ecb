"""A results folder: its lock, what may be mixed in it, what `--force` deletes, whether it is complete."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from steelbench.errors import SteelbenchError
from steelbench.evaluation.predictions import read_groups
from steelbench.experiment import Experiment
from steelbench.files import cache_folder, read_json, unwritable, unwritable_file
from steelbench.records import Summary, cost_file, read_record, unknown_file
from steelbench.runs.intact import changed, damaged_tables

# Folders with a file for each row, of what is measured besides the runs.
MEASURED = ("cost", "unknown", "robustness", "label_efficiency")
# Fields of `config.json` that must be the same for all runs of a results folder, and what a refusal calls them.
FIXED = {
    "data_digest": "data",
    "audit": "versions of the audit that ties images together",
    "split": "split (--split)",
    "folds": "folds (--folds)",
    "seeds": "seeds (--seeds)",
}


def refuse_other_results(results: Path, config: dict[str, Any], files: Collection[str] = ()) -> None:
    """Refuse a folder that holds runs on other data, another split or other seeds.

    Args:
        results: the results folder.
        config: what `config.json` will hold.
        files: paths of the images, to say how many are new or gone.

    Raises:
        SteelbenchError: names what differs.
    """
    path = results / "config.json"
    if not path.exists():
        if any((results / "runs").glob("*/result.json")):
            raise SteelbenchError(
                f"{results} holds runs, but no config.json that says on which data; name another folder with "
                "--results, or use --force to replace them."
            )
        return
    try:
        before = read_json(path)
        missing = [key for key in FIXED if key not in before]
    except (OSError, ValueError, TypeError):
        missing = list(FIXED)
    if missing or not isinstance(before, dict):
        raise SteelbenchError(f"{path} is damaged; use --force to replace the runs in {results}.")
    for key, words in FIXED.items():
        if before.get(key) != config[key]:
            changed = _changed_files(results, files) if key == "data_digest" else ""
            changed = changed or f"{_short(before.get(key))}, this command has {_short(config[key])}"
            raise SteelbenchError(
                f"{results} holds runs with other {words}: {changed}. Name another folder with --results, or use "
                "--force to replace them."
            )


def _changed_files(results: Path, files: Collection[str]) -> str:
    """Say how many images there were and are; "" where that is not known."""
    try:
        before = set(read_groups(results))
    except SteelbenchError:
        before = set()
    if not before or not files:
        return ""
    new, gone = len(set(files) - before), len(before - set(files))
    changes = [f"{number} {word}" for number, word in ((new, "new"), (gone, "gone")) if number]
    told = ", ".join(changes) or "the same names, but other pixels, labels, groups, parts or --bit-depth"
    return f"{len(before)} images then, {len(files)} now: {told}"


def refuse_unusable(results: Path) -> None:
    """Refuse a results folder that another run holds or that cannot be written to, before anything is read.

    Nothing is made or changed. `locked` finds what changes later.

    Raises:
        SteelbenchError: as `locked` does.
    """
    refuse_unwritable("--results", results)
    # To lock a file that is not there would make it.
    if (results / ".lock").is_file():
        with locked(results):
            pass


def refuse_unwritable(option: str, folder: Path) -> None:
    """Refuse a folder of an option, there or not yet, that cannot be written to.

    Raises:
        SteelbenchError: with the reason.
    """
    reason = unwritable(folder)
    if reason:
        raise SteelbenchError(f"{option} {folder} cannot be written to ({reason}); name a folder that can.")


def refuse_unwritable_file(option: str, path: Path) -> None:
    """Refuse a file of an option, there or not yet, that cannot be written.

    Raises:
        SteelbenchError: with the reason.
    """
    reason = unwritable_file(path)
    if reason:
        raise SteelbenchError(f"{option} {path} cannot be written ({reason}); name a file in a folder that can be.")


def refuse_no_folder(results: Path) -> None:
    """Refuse a path that is there and is no folder; what reads the folder says what is missing.

    Raises:
        SteelbenchError: saying what it is.
    """
    if results.is_dir() or not (results.exists() or results.is_symlink()):
        return
    what = "is a file" if results.is_file() else "is no folder" if results.exists() else "is a link that leads nowhere"
    raise SteelbenchError(f"{results} {what}; expected the folder that `steelbench run --results` wrote.")


def refuse_unusable_cache() -> None:
    """Refuse a cache folder that cannot be written to, before anything is read.

    Raises:
        SteelbenchError: names the variable that names another one.
    """
    reason = unwritable(cache_folder())
    if reason:
        raise SteelbenchError(
            f"the cache folder {cache_folder()} cannot be written to ({reason}); set STEELBENCH_CACHE to a folder that "
            "can."
        )


def clear(results: Path, config: dict[str, Any], experiments: Sequence[Experiment]) -> None:
    """Delete for `--force`: the given experiments' runs and models; all runs if they are on other data or splits.

    Args:
        results: the results folder.
        config: what `config.json` will hold.
        experiments: for every seed and fold.
    """
    try:
        refuse_other_results(results, config)
    except SteelbenchError:
        _remove(*(results / name for name in ("runs", "models", *MEASURED, "unfinished")))
        return
    for experiment in experiments:
        _remove(*(results / name / experiment.run_name for name in ("runs", "unfinished")))
        for suffix in (".h5", ".json", ".unfamiliar.npz"):
            (results / "models" / f"{experiment.name}{suffix}").unlink(missing_ok=True)
        cost_file(results, experiment.name).unlink(missing_ok=True)
        unknown_file(results, experiment.name).unlink(missing_ok=True)
        (results / "robustness" / f"{experiment.name}.json").unlink(missing_ok=True)


def _remove(*folders: Path) -> None:
    for folder in folders:
        # The record first, because it marks a run as finished: a half deleted run must not look like one.
        for path in folder.glob("**/result.json"):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 30 else f"digest {text[:12]}"


def is_whole(results: Path) -> bool:
    """Return whether a folder is complete, and no file of it damaged."""
    return is_complete(results) and not broken_files(results)


def broken_files(results: Path) -> list[str]:
    """Return the paths, below the folder, of files that are damaged or missing; models only if others say so."""
    broken = [*damaged_tables(results), *changed(results)]
    if not broken and is_complete(results) and not _is_summary(results / "results.json"):
        broken = ["results.json"]
    return list(dict.fromkeys(broken))


def delete_damaged(results: Path, broken: Collection[str]) -> None:
    """Delete damaged measurements of models, so that they are made again; the command writes all other files anyway."""
    for name in broken:
        path = Path(name)
        if path.parent.name in MEASURED:
            (results / path).unlink(missing_ok=True)
        if path.name.endswith(".unfamiliar.npz"):
            unknown_file(results, path.name.removesuffix(".unfamiliar.npz")).unlink(missing_ok=True)


def _is_summary(path: Path) -> bool:
    try:
        read_record(path, Summary)
    except SteelbenchError:
        return False
    return True


def is_complete(results: Path) -> bool:
    """Return whether leaderboard and report are newer than the newest run and the newest measurement of a model."""
    made = [results / name for name in ("results.json", "leaderboard.csv", "report.html")]
    runs = list(results.glob("runs/*/result.json"))
    measured = [path for folder in MEASURED for path in results.glob(f"{folder}/*.json")]
    newest = max((path.stat().st_mtime for path in (*runs, *measured)), default=0.0)
    return all(path.is_file() and path.stat().st_mtime >= newest for path in made) if runs else False


@contextmanager
def locked(results: Path, option: str = "--results") -> Iterator[None]:
    """Hold the lock of a results folder; the folder is made if it does not exist.

    Args:
        results: the folder.
        option: that names it, for messages.

    Raises:
        SteelbenchError: if another run holds it, or the folder cannot be written to.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = FileLock(results / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise SteelbenchError(
            f"another steelbench run is writing to {results}; wait for it, or name another {option}."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SteelbenchError(
            f"{option} {results} cannot be written to ({os.strerror(error.errno or 0)}); name a folder that can."
        ) from None
    with lock:
        lock.release()
        yield


def sweep(results: Path) -> None:
    """Delete the temporary files of `whole_file` whose process was killed before it could rename them."""
    places = ("models", "runs/*", "robustness/examples", *MEASURED)
    for path in (path for place in places for path in results.glob(f"{place}/.*")):
        if re.fullmatch(r"\..+-[a-z0-9_]{8}\.(h5|json|csv|npz|png)", path.name):
            path.unlink(missing_ok=True)
