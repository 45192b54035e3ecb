"""`steelbench stitch`: make the whole model of a run whose head alone was kept."""

from __future__ import annotations

from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.methods import METHODS
from steelbench.models.model_card import card_fields, read_card_file
from steelbench.models.tensorflow_startup import start_tensorflow
from steelbench.records import RunRecord, read_record


def stitch_run(results: Path, run_name: str) -> Path:
    """Put the head of a run onto the encoder of its row's saved model.

    All runs of a row share one frozen encoder, so the saved model of seed 0, fold 0 has that of every other run.

    Args:
        results: the results folder.
        run_name: `<name>-s<seed>-f<fold>`, a folder in `results/runs`.

    Returns:
        The path of the new `.h5`, its card beside it.

    Raises:
        SteelbenchError: for an unknown run, if the row's saved model is missing, or if the run changed its encoder.
    """
    folder = results / "runs" / run_name
    if Path(run_name).name != run_name or not (folder / "result.json").is_file():
        known = sorted(path.name for path in (results / "runs").glob("*-s*-f*") if (path / "head.npz").is_file())
        some = ", ".join(known[:6]) + (" ..." if known[6:] else "")
        raise SteelbenchError(f"{results} holds no run '{run_name}'; it holds {some or 'none'}.")
    record = read_record(folder / "result.json", RunRecord)
    source = results / "models" / f"{record.name}.h5"
    if not source.is_file():
        raise SteelbenchError(
            f"{source} is missing, whose encoder {run_name} shares; run the row again with --force to make it anew."
        )
    if METHODS[record.method].settings(**record.settings).on_images or record.homogenize != "none":
        raise SteelbenchError(
            f"{run_name} has an encoder of its own, which was kept for seed 0, fold 0 only; {source} is that model."
        )
    start_tensorflow()
    from steelbench.models import saved_model
    from steelbench.models.head import Head
    from steelbench.models.surgery import network_name

    offered = saved_model.load(source)
    encoder = saved_model.encoder_of(offered)
    path = results / "models" / f"{run_name}.h5"
    saved_model.save(saved_model.stitch(encoder, Head.load(folder / "head.npz"), network_name(run_name)), path)
    card = read_card_file(source.with_suffix(".json")).model_dump(mode="json")
    own = {"name": run_name, "verification": None, "unfamiliar": None, "training_digests": None}
    saved_model.write_card(path, {**card, **card_fields(record), **own})
    return path
