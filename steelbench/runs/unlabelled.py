"""Images without labels: read them, and find which labelled images they share pixels with."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Groups
from steelbench.audit.audit import audited_pairs
from steelbench.data.groups import group_numbers, image_keys, pair_links
from steelbench.data.inspection import Inspected, Inspection, Skipped, inspect_samples, refuse_unreadable
from steelbench.data.samples import Sample, clean_text, image_files
from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.features.spec import UNKNOWN, ImageRef
from steelbench.runs.jobs import Unlabelled

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class FoundImages:
    """The usable images of a folder without labels.

    Attributes:
        folder: where they lie.
        images: sorted by path, which is absolute; no label.
        skipped: those that cannot be read, by their path below the folder.
        digest: of names and bytes.
    """

    folder: Path
    images: tuple[Inspected, ...]
    skipped: tuple[Skipped, ...]
    digest: str


def read_unlabelled(
    folder: Path,
    labelled: Collection[Path],
    bit_depth: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FoundImages:
    """Decode every image below a folder once; files that have a label are passed over.

    Args:
        folder: as given to `--unlabelled`.
        labelled: resolved paths of the labelled images.
        bit_depth: used bits of 16-bit files.
        progress: called with images done and the total.

    Raises:
        SteelbenchError: if it is no folder, holds no image but labelled ones, or more than 5 % are unreadable.
    """
    root = folder.expanduser()
    if not root.is_dir():
        raise SteelbenchError(f"--unlabelled {folder} is no folder; name one that holds images without labels.")
    root = root.resolve()
    paths = sorted(image_files(root), key=lambda path: path.relative_to(root).as_posix())
    files = [path for path in paths if path.resolve() not in labelled]
    if not files:
        what = f"no image but the {len(paths)} labelled ones of --data" if paths else "no image"
        raise SteelbenchError(f"--unlabelled {folder} holds {what}; name a folder of images without labels.")
    name_of = {path.as_posix(): clean_text(path.relative_to(root).as_posix(), "file name") for path in files}
    samples = [Sample(path.as_posix(), "") for path in files]
    images, unreadable = inspect_samples(root, samples, bit_depth, lambda done: progress(done, len(files)))
    skipped = [found._replace(path=name_of[found.path]) for found in unreadable]
    refuse_unreadable(skipped, len(files), f"--unlabelled {folder}: ")
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{name_of[image.sample.path]}\0{image.bytes_digest}\n".encode())
    return FoundImages(root, tuple(images), tuple(skipped), digest.hexdigest())


def tie(
    found: FoundImages,
    inspection: Inspection,
    group_of: Groups,
    root: Path,
    bit_depth: int | None,
    confidence: float,
    progress: Callable[[str, int, int], None],
) -> Unlabelled:
    """Search labelled and unlabelled images together for shared pixels, and number the groups.

    Args:
        found: the unlabelled images.
        inspection: the labelled images.
        group_of: int64 [N], the groups that the labelled images make by themselves.
        root: of the labelled images.
        bit_depth: used bits of 16-bit files.
        confidence: least probability of a pseudo-label, 0..1.
        progress: as for `audited_pairs`.
    """
    everything = dataclasses.replace(inspection, images=(*inspection.images, *found.images))
    pairs, _, _ = audited_pairs(root, everything, bit_depth, progress)
    keys = image_keys(everything.images)
    for key, group in zip(keys, group_of.tolist(), strict=False):
        key.append(f"labelled group {group}")
    numbers = group_numbers(keys, pair_links((image.sample.path for image in everything.images), pairs))
    images = [
        ImageRef(path=image.sample.path, label=UNKNOWN, digest=image.bytes_digest, group=group)
        for image, group in zip(found.images, numbers[len(group_of) :].tolist(), strict=True)
    ]
    return Unlabelled(
        images=images, ties=numbers[: len(group_of)].tolist(), confidence=confidence, folder=found.folder.as_posix()
    )


def usable(given: Unlabelled, split: Split) -> NDArray[np.bool_]:
    """Return which unlabelled images share nothing with a test or validation image, bool [U]."""
    barred = np.array(given.ties, np.int64)[np.concatenate([split.validation, split.test])]
    return ~np.isin([image.group for image in given.images], barred)
