"""The whole model of a run whose head alone was kept: joined, and held against the run's recorded predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.csv_files import read_csv
from steelbench.data.images import UnreadableImageError, image_exists, read_image
from steelbench.errors import SteelbenchError
from steelbench.models.model_card import Card, card_fields
from steelbench.records import RunRecord, Verification

# Test images that are compared, as many as a run compares itself.
COMPARED = 32
# Largest difference of a probability where the run computed in fewer bits than the saved model does.
COARSE = 0.05


def stitch_head(results: Path, record: RunRecord, source: Path, card: Card, folders: Sequence[Path]) -> Path:
    """Write the model of a run and its card, if it says what the run's record says.

    Args:
        results: the results folder.
        record: of the run, whose head is in its folder.
        source: the `.h5` of the same encoder.
        card: of the source, held against it.
        folders: one of them is the data folder, which the paths of the predictions start from.

    Returns:
        The path of the new `.h5`.

    Raises:
        SteelbenchError: if the images or predictions cannot be read, or the new model says something else than the run.
    """
    folder = results / "runs" / record.run_name
    paths, recorded = _recorded(folder / "predictions.csv", record.classes)
    images = next((place for place in folders if image_exists(place / paths[0])), folders[0])
    pixels = [_read(images, path, card) for path in paths]
    from steelbench.models.tensorflow_startup import start_tensorflow

    start_tensorflow()
    from steelbench.models import saved_model
    from steelbench.models.head import Head
    from steelbench.models.surgery import network_name

    encoder, head = saved_model.encoder_of(saved_model.load(source)), Head.load(folder / "head.npz")
    wide, given = head.inputs, encoder.output_shape[-1]
    if wide != given or head.outputs != len(record.classes):
        raise SteelbenchError(
            f"{folder / 'head.npz'} is a head from {wide} features to {head.outputs} classes, {source.name} has "
            f"{given} features and the run {len(record.classes)} classes; run its experiment again with --force."
        )
    path = results / "models" / f"{record.run_name}.h5"
    saved_model.save(saved_model.stitch(encoder, head, network_name(record.run_name)), path)
    try:
        reloaded = saved_model.Reloaded(path)
        found = reloaded.verify(pixels, recorded)
        _refuse_other(found, record, source)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    own = {"name": record.run_name, "verification": found.model_dump(), "unfamiliar": None, "decision": None}
    own["training_digests"] = None
    saved_model.write_card(path, {**card.model_dump(mode="json"), **card_fields(record), **own}, reloaded.probe())
    return path


def _refuse_other(found: Verification, record: RunRecord, source: Path) -> None:
    exact = record.precision == "float32"
    # `not <=`, because a difference that is NaN must be refused, too.
    if not found.max_difference <= (1e-4 if exact else COARSE):
        raise SteelbenchError(
            f"the model of {record.run_name} differs from the run's predictions.csv by {found.max_difference:.1e} in a "
            f"probability ({found.classes_changed} of {found.images} classes changed): {source}, head.npz or "
            "predictions.csv is damaged or of another run, or the images were changed. It was not kept; run the row "
            "again with --force."
        )


def _recorded(path: Path, classes: list[str]) -> tuple[list[str], NDArray[np.float32]]:
    """Return paths and probabilities of some test images, evenly over the file."""
    try:
        rows = read_csv(path)
        chosen = [rows[number] for number in np.unique(np.linspace(0, len(rows) - 1, COMPARED).astype(int))]
        found = np.array([[float(row[f"p_{name}"]) for name in classes] for row in chosen], np.float32)
        paths = [row["path"] for row in chosen]
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise SteelbenchError(
            f"{path} is missing or damaged ({type(error).__name__}: {error}); what is stitched is held against it. Run "
            "the row again with --force."
        ) from None
    return paths, found


def _read(images: Path, path: str, card: Card) -> NDArray[np.uint8]:
    place = images / path
    try:
        if not place.resolve().is_relative_to(images.resolve()) or not image_exists(place):
            raise UnreadableImageError("it is not there")
        return read_image(place, card.bit_depth)
    except (UnreadableImageError, OSError, ValueError) as error:
        raise SteelbenchError(
            f"{place}, a test image of the run, cannot be read ({error}); a model is stitched only if it says what was "
            "recorded of such images. Name the folder that they are in with --data."
        ) from None
