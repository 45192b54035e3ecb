"""`steelbench export MODEL --to FORMATS`: files for other runtimes, each compared with the model before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steelbench.cli.terminal import result, say
from steelbench.errors import SteelbenchError
from steelbench.inference.image_paths import image_paths

if TYPE_CHECKING:
    from steelbench.inference.export import Exported
    from steelbench.inference.model import Opening

# Images that every exported file is compared on, spread evenly over those given.
COMPARED = 200


def export_files(
    model: Path,
    to: str,
    out: Path | None,
    images: Path | None,
    labelled: Path | None,
    opening: Opening | None = None,
    *,
    max_drop: float,
    force: bool,
) -> int:
    """Export a model and print the path of every file that is kept.

    Args:
        model: path of the `.h5`.
        to: names of formats, separated by commas.
        out: folder; `MODEL-export` beside the model if None.
        images: file or folder of images to compare on; the demo's if None.
        labelled: folder of labelled images for an 8-bit network; None for none.
        opening: what the user says of the model.
        max_drop: accuracy that 8 bits may lose, 0..1.
        force: replace older exports.

    Returns:
        The exit code: 1 if a format failed or disagrees with the model.

    Raises:
        SteelbenchError: for an unknown format, a package that is not installed, no images, a taken target.
    """
    from steelbench.inference.exports.formats import INT8, choose_formats, require

    chosen = choose_formats(to)
    if labelled is not None:
        if "openvino" not in chosen:
            raise SteelbenchError(f"--int8 is for OpenVINO; add it to the formats: --to {to},openvino.")
        require([("--int8", INT8)])
        if not labelled.exists():
            raise SteelbenchError(f"--int8 {labelled} does not exist; name a folder of labelled images.")
    from steelbench.inference.export import Request, export_model
    from steelbench.inference.model import read_card
    from steelbench.runs.results_folder import refuse_unwritable

    depth = read_card(model, opening).bit_depth
    target = out or model.with_name(f"{model.stem}-export")
    refuse_unwritable("--out", target)
    request = Request(
        model=model,
        formats=chosen,
        out=target,
        images=_readable(images, depth),
        labelled=labelled,
        force=force,
        max_drop=max_drop,
        opening=opening,
    )
    failed = False
    for exported in export_model(request, say):
        failed |= bool(exported.reason)
        _tell(exported)
    return int(failed)


def _readable(images: Path | None, bit_depth: int | None) -> list[Path]:
    """Return up to `COMPARED` readable images; those that cannot be read are said and left out."""
    from steelbench.data.demo import cached_demo
    from steelbench.data.images import UnreadableImageError, read_image
    from steelbench.files import cache_folder

    if images is None:
        say("compared on the procedural images of the demo; --images DIR compares on yours.")
        found = list(image_paths([cached_demo(cache_folder())]))
    else:
        found = list(image_paths([images]))
    step = max(1, len(found) / COMPARED)
    kept = []
    for path in [found[int(number * step)] for number in range(min(COMPARED, len(found)))]:
        try:
            read_image(path, bit_depth)
            kept.append(path)
        except UnreadableImageError as error:
            say(f"{path} cannot be read ({error}) and was left out")
    if not kept:
        raise SteelbenchError(f"none of the images of {images} can be read; name others with --images.")
    return kept


def _tell(exported: Exported) -> None:
    """Print the path of a file, and say what the comparison found."""
    if exported.record is None:
        say(f"{exported.format} was not kept: {exported.reason}.")
        return
    print(result(str(exported.path)), flush=True)
    there = "" if exported.made else "is there already: "
    agreement, int8 = exported.record.agreement, exported.record.int8
    if agreement is not None:
        say(
            f"{exported.format}: {there}{agreement.images} images, largest difference of a probability "
            f"{agreement.largest_difference:.1e}, the same class for all"
        )
    if int8 is not None:
        say(f"{exported.format}: {there}{int8.told()}")
