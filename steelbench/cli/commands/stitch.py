"""`steelbench stitch`: make the whole model of a run whose head alone was kept."""

from __future__ import annotations

from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.files import read_json
from steelbench.methods import METHODS
from steelbench.records import RunRecord, read_record
from steelbench.runs.results_folder import refuse_no_folder


def stitch_run(results: Path, run_name: str, data: Path | None = None) -> Path:
    """Put the head of a run onto the encoder of its row's saved model.

    All runs of a row share one frozen encoder, so the saved model of seed 0, fold 0 has that of every other run.

    Args:
        results: the results folder.
        run_name: `<name>-s<seed>-f<fold>`, a folder in `results/runs`.
        data: the data folder; None for the one that the results folder names.

    Returns:
        The path of the new `.h5`, its card beside it.

    Raises:
        SteelbenchError: for an unknown run, if the row's saved model is missing or not that of its card, if the run
            changed its encoder, or if the new model does not say what was recorded.
    """
    refuse_no_folder(results)
    folder = results / "runs" / run_name
    if Path(run_name).name != run_name or not (folder / "result.json").is_file():
        known = sorted(path.name for path in (results / "runs").glob("*-s*-f*") if (path / "head.npz").is_file())
        some = ", ".join(known[:6]) + (" ..." if known[6:] else "")
        raise SteelbenchError(f"{results} holds no run '{run_name}'; it holds {some or 'none'}.")
    record = read_record(folder / "result.json", RunRecord)
    if record.run_name != run_name or record.method not in METHODS:
        raise SteelbenchError(f"{folder / 'result.json'} is the record of {record.run_name}; copy it again.")
    source = results / "models" / f"{record.name}.h5"
    if not source.is_file():
        raise SteelbenchError(
            f"{source} is missing, whose encoder {run_name} shares; run the row again with --force to make it anew."
        )
    if record.homogenize != "none" or _changes_encoder(record, folder):
        raise SteelbenchError(
            f"{run_name} has an encoder of its own, which was kept for seed 0, fold 0 only; {source} is that model."
        )
    from steelbench.inference.model import read_card
    from steelbench.inference.stitching import stitch_head

    card = read_card(source)
    return stitch_head(results, record, source, card, [data] if data else _data_folders(results))


def _changes_encoder(record: RunRecord, folder: Path) -> bool:
    try:
        return METHODS[record.method].settings(**record.settings).on_images
    except (TypeError, ValueError, SteelbenchError):
        raise SteelbenchError(
            f"{folder / 'result.json'} has settings that {record.method} does not have; copy it again."
        ) from None


def _data_folders(results: Path) -> list[Path]:
    """Return the folders that paths of predictions may start from, as `config.json` names the data."""
    from steelbench.data.readers import recognise
    from steelbench.experiment import DataOptions

    path = results / "config.json"
    try:
        config = read_json(path, 1 << 20)
        told = {name: config[name] for name in ("layout", "object") if config.get(name) is not None}
        named = str(config["data"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SteelbenchError(
            f"{path} does not say where the run's images are ({error}); a model is stitched only if it says what was "
            "recorded of them. Name their folder with --data."
        ) from None
    try:
        place = recognise(DataOptions(data=named, **told))[1]
    except (SteelbenchError, OSError, ValueError):
        # Reading an image of it says what is wrong.
        place = Path(named)
    return [place, place.parent]
