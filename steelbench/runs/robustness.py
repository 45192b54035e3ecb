"""`--with robustness`: measure the rows that are not measured yet, in a process of its own. No TensorFlow.

Each row's record is `RESULTS/robustness/<row>.json`, whole or not there, so a killed measurement goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from steelbench.arrays import RGBImage
from steelbench.data.corruptions import CORRUPTIONS, VERSION, corrupt
from steelbench.data.images import ImageFiles
from steelbench.evaluation.robustness import FOLDER, MIDDLE, choose_images, read_robustness
from steelbench.features.spec import ImageRef
from steelbench.files import whole_file, write_json
from steelbench.methods import METHODS
from steelbench.notices import notice
from steelbench.records import Notice, Record, RunRecord, read_record
from steelbench.runs.jobs import Event, RunData
from steelbench.runs.side_process import run_side_process
from steelbench.runs.worker_process import ending

# The corruptions of one image, by name, and the image itself as `clean`.
EXAMPLES = "examples"
CLEAN = "clean"
EXAMPLE_SIDE = 160


class Measurement(Record):
    """What the measuring process is told.

    Attributes:
        results: the results folder.
        root: the data folder.
        bit_depth: used bits of 16-bit files; None for all.
        classes: names.
        images: test images, by their places in `RunData.images`.
        networks: names of the rows that share a network, for each network.
    """

    results: str
    root: str
    bit_depth: int | None
    classes: list[str]
    images: list[ImageRef]
    networks: list[list[str]]


def unmeasured(results: Path, names: Sequence[str]) -> list[RunRecord]:
    """Return the runs whose saved models are to measure.

    Args:
        results: the results folder.
        names: of rows.
    """
    paths = [results / "runs" / f"{name}-s0-f0" / "result.json" for name in dict.fromkeys(names)]
    records = [read_record(path, RunRecord) for path in paths if path.is_file()]
    return [record for record in records if _is_measurable(results, record) and not _is_measured(results, record)]


def measure_robustness(
    results: Path, data: RunData, names: Sequence[str], progress: Callable[[str, str, int, int], None]
) -> list[Notice]:
    """Measure the rows that are not measured yet, and write their records.

    Args:
        results: the results folder.
        data: images and splits.
        names: of rows.
        progress: called with (step, backbone, images done, total).

    Returns:
        A notice for each row that could not be measured.
    """
    runs = unmeasured(results, names)
    if not runs:
        return []
    test = np.array(data.splits[0].test, np.int64)
    chosen = choose_images(test, data.groups, data.labels)
    job = Measurement(
        results=str(results.resolve()),
        root=data.root,
        bit_depth=data.bit_depth,
        classes=data.classes,
        images=[data.images[row].model_copy(update={"group": int(data.groups[row])}) for row in chosen],
        networks=together(runs),
    )
    write_examples(results / FOLDER / EXAMPLES, job)
    reason = _run(job, results, progress)
    return [notice("SB411", row=run.name, reason=reason) for run in unmeasured(results, names)]


def together(runs: Sequence[RunRecord]) -> list[list[str]]:
    """Return the names of rows whose saved models have the same network before the head, for each network."""
    found: dict[str, list[str]] = {}
    for run in runs:
        trained = METHODS[run.method].settings(**run.settings).on_images
        # Parts of an ensemble may differ in size, which its record does not tell.
        alone = trained or "+" in run.backbone
        key = run.name if alone else json.dumps([run.backbone, run.image_size, run.weights.model_dump(mode="json")])
        found.setdefault(key, []).append(run.name)
    return list(found.values())


def write_examples(folder: Path, job: Measurement) -> None:
    """Write one image as it is and under each corruption at strength `MIDDLE`, as PNG."""
    files = ImageFiles(Path(job.root), [image.path for image in job.images], job.bit_depth)
    (pixels,) = files.raw([0])
    for name in (CLEAN, *CORRUPTIONS):
        changed = corrupt(name, pixels, MIDDLE, job.images[0].digest) if name != CLEAN else pixels
        with whole_file(folder / f"{name}.png") as temporary:
            temporary.write_bytes(_small_png(changed))


def _small_png(pixels: RGBImage) -> bytes:
    """Return the middle square as a PNG of `EXAMPLE_SIDE`; an image that is smaller keeps its pixels."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = cv2.cvtColor(pixels[top : top + side, left : left + side], cv2.COLOR_RGB2BGR)
    if side > EXAMPLE_SIDE:
        square = cv2.resize(square, (EXAMPLE_SIDE, EXAMPLE_SIDE), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", square)[1].tobytes()


def _is_measurable(results: Path, run: RunRecord) -> bool:
    """Return whether a run has a saved model with a head, and something in it was trained."""
    untrained = run.weights.kind == "random" and run.settings.get("trainable") != "all"
    files = [results / (run.model or "."), results / "runs" / run.run_name / "head.npz"]
    return run.method in METHODS and not untrained and all(path.is_file() for path in files)


def _is_measured(results: Path, run: RunRecord) -> bool:
    found = read_robustness(results, [run])
    return found is not None and found.version == VERSION


def _run(job: Measurement, results: Path, progress: Callable[[str, str, int, int], None]) -> str:
    """Run the measuring process to its end; return why something was left out, if it was."""
    path, log = results / "unfinished" / "robustness.job.json", results / "unfinished" / "robustness.log"
    write_json(path, job)
    reasons = []

    def listen(event: Event) -> None:
        if event.kind == "failed":
            reasons.append(event.text)
        else:
            progress(event.step, event.run, event.done, event.total)

    code = run_side_process("robustness_worker", path, log, listen)
    reason = reasons[-1] if reasons else ""
    reason = reason or ending(code, log)
    path.unlink(missing_ok=True)
    if not code and not reasons:
        log.unlink(missing_ok=True)
    return reason
