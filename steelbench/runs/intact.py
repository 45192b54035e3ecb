"""Whether the files of a results folder are those that were written: by the digests in its records. No TensorFlow.

A run's files stand in its `result.json`; records, tables, page and cards of the folder in `digests.json`, which is
written last and deleted before anything else is changed. What a folder of an older version lacks is not checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import ValidationError

from steelbench.errors import SteelbenchError
from steelbench.files import file_digest, read_file, write_json
from steelbench.models.model_card import read_card_file
from steelbench.records import Record, RunRecord, read_record

FILE = "digests.json"
PREDICTIONS = "predictions.csv"
MAX_BYTES = 64 * 1024 * 1024
# Besides the cards of the runs' models.
SEALED = (
    *("results.json", "leaderboard.csv", "errors.csv", "skipped_images.csv", "environment.json", "report.html"),
    *("audit/*.csv", "audit/audit.json", "figures/*", "thumbnails/*", "cost/*.json", "unknown/*.json"),
    *("robustness/*.json", "activation_maps/*.json", "label_efficiency/*.json", "label_first.csv", "label_first/*"),
    "runs/*/result.json",
)
# What `build_report` writes.
DRAWN = ("report.html", "figures/*")


class Digests(Record):
    """The digests of a results folder: `digests.json`."""

    files: dict[str, str]


def seal(results: Path) -> None:
    """Write the digest of every file of a finished folder that no run's record holds."""
    cards = [path for name in _models(results) for path in _beside(results, name)]
    write_json(results / FILE, Digests(files=_digests(results, [*_found(results, SEALED), *cards])))


def seal_again(results: Path, patterns: Collection[str] = DRAWN) -> None:
    """Write the digests of files that were drawn anew; nothing in a folder that is not sealed."""
    known = sealed(results)
    if known:
        write_json(results / FILE, Digests(files={**known, **_digests(results, _found(results, patterns))}))


def unseal(results: Path) -> None:
    """Delete the digests, before files change."""
    (results / FILE).unlink(missing_ok=True)


def sealed(results: Path) -> dict[str, str]:
    """Return the digests by path below the folder; none if they were not written, or are damaged."""
    try:
        return Digests.model_validate_json(read_file(results / FILE, MAX_BYTES)).files
    except (OSError, ValidationError):
        return {}


def changed(results: Path) -> list[str]:
    """Return the paths, below the folder, of files that are missing or other than when the folder was finished."""
    return [name for name, digest in sealed(results).items() if file_digest(_below(results, name)) != digest]


def holds_these_runs(results: Path) -> bool:
    """Return whether the digests are of just the records that the folder holds now, and of its summary."""
    known, broken = sealed(results), set(changed(results))
    runs = {path.relative_to(results).as_posix() for path in _found(results, ("runs/*/result.json",))}
    named = {name for name in known if name.startswith("runs/")}
    return runs == named and not broken & {*runs, "results.json"} and "results.json" in known


def damaged(results: Path, record: RunRecord, *, model: bool = False) -> list[str]:
    """Return the paths, below the folder, of a run's files that are missing or other than the run wrote them.

    Args:
        results: the results folder.
        record: of the run.
        model: also look at the saved model, which takes a second for each GB, and its card.
    """
    folder = f"runs/{record.run_name}"
    wanted = {f"{folder}/{name}": digest for name, digest in record.digests.items() if name != record.model}
    found = [name for name, digest in wanted.items() if _differs(_below(results, name), digest)]
    if PREDICTIONS not in record.digests and not _is_plausible(results, record):
        found.append(f"{folder}/{PREDICTIONS}")
    return [*found, *(_damaged_model(results, record) if model and record.model else ())]


def damaged_tables(results: Path) -> list[str]:
    """Return the damaged files of all runs, without their models; of a record that cannot be read, the record."""
    found = []
    for path in _found(results, ("runs/*/result.json",)):
        try:
            found += damaged(results, read_record(path, RunRecord))
        except SteelbenchError:
            found.append(path.relative_to(results).as_posix())
    return found


def _damaged_model(results: Path, record: RunRecord) -> Iterator[str]:
    """Yield the model and its card, if they are not those of the run."""
    name = record.model or ""
    digest = file_digest(_below(results, name))
    if not digest or digest != record.digests.get(name, digest):
        yield name
        return
    card = Path(name).with_suffix(".json").as_posix()
    try:
        whole = read_card_file(results / card).sha256 == digest
    except SteelbenchError:
        whole = False
    if not whole or _differs(results / card, sealed(results).get(card, "")):
        yield card


def _is_plausible(results: Path, record: RunRecord) -> bool:
    """Return whether a run's predictions fit its record, which is of a version that wrote no digests."""
    # Imported here, because NumPy is slow to import and `steelbench report --help` needs this module.
    from steelbench.evaluation.predictions import read_run

    try:
        read_run(results, record)
    except SteelbenchError:
        return False
    return True


def _differs(path: Path, digest: str) -> bool:
    """Return whether a file is missing, or has another digest than the one given; "" stands for any."""
    found = file_digest(path)
    return not found or bool(digest and found != digest)


def _models(results: Path) -> list[str]:
    names = []
    for path in _found(results, ("runs/*/result.json",)):
        try:
            names.append(read_record(path, RunRecord).model or "")
        except SteelbenchError:
            continue
    return list(filter(None, names))


def _beside(results: Path, model: str) -> list[Path]:
    path = _below(results, model)
    return [own for own in (path.with_suffix(".json"), path.with_suffix(".unfamiliar.npz")) if own.is_file()]


def _found(results: Path, patterns: Collection[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in results.glob(pattern) if path.name[0] != "."})


def _digests(results: Path, paths: Collection[Path]) -> dict[str, str]:
    return {path.relative_to(results).as_posix(): file_digest(path) for path in paths if path.is_file()}


def _below(results: Path, name: str) -> Path:
    """Return the path of a name from a record; the folder itself, which is no file, for one that leads outside."""
    path = Path(name)
    return results if path.is_absolute() or ".." in path.parts else results / path
