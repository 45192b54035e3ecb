"""Images without labels: read them, and find which labelled images they share pixels with."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelbench.audit.audit import audited_pairs
from steelbench.data.groups import Pair, group_numbers
from steelbench.data.inspection import MAX_UNREADABLE, Inspected, Inspection, inspect_sample
from steelbench.data.parallel import ordered_map
from steelbench.data.samples import Sample, clean_text, image_files
from steelbench.data.splits import Indices, Split
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
        skipped: (path below the folder, reason) of those that cannot be read.
        digest: of names and bytes.
    """

    folder: Path
    images: tuple[Inspected, ...]
    skipped: tuple[tuple[str, str], ...]
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
    names = [clean_text(path.relative_to(root).as_posix(), "file name") for path in files]
    images: list[Inspected] = []
    skipped: list[tuple[str, str]] = []
    digest = hashlib.sha256()
    samples = [Sample(path.as_posix(), "") for path in files]
    results = ordered_map(lambda sample: inspect_sample(root, sample, bit_depth), samples)
    for done, (name, found) in enumerate(zip(names, results, strict=True), start=1):
        if isinstance(found, Inspected):
            images.append(found)
            digest.update(f"{name}\0{found.bytes_digest}\n".encode())
        else:
            skipped.append((name, found[1]))
        progress(done, len(files))
    if len(skipped) > MAX_UNREADABLE * len(files):
        path, reason = skipped[0]
        raise SteelbenchError(
            f"--unlabelled {folder}: {len(skipped)} of {len(files)} images cannot be read, at most "
            f"{MAX_UNREADABLE:.0%} may; the first is {path}: {reason}. Repair or remove them and run again."
        )
    return FoundImages(root, tuple(images), tuple(skipped), digest.hexdigest())


def tie(
    found: FoundImages, inspection: Inspection, group_of: Indices, root: Path, bit_depth: int | None, confidence: float,
    progress: Callable[[str, int, int], None],
) -> Unlabelled:  # fmt: skip
    """Search labelled and unlabelled images together for shared pixels, and number the groups.

    Args:
        found: the unlabelled images.
        inspection: the labelled images.
        group_of: int64 [N], the groups that the labelled images make by themselves.
        root: of the labelled images.
        bit_depth: used bits of 16-bit files.
        confidence: least probability of a pseudo-label.
        progress: as for `audited_pairs`.
    """
    everything = dataclasses.replace(inspection, images=(*inspection.images, *found.images))
    pairs, _, _ = audited_pairs(root, everything, bit_depth, progress)
    numbers = group_numbers(_keys(everything, group_of, pairs))
    images = [
        ImageRef(path=image.sample.path, label=UNKNOWN, digest=image.bytes_digest, group=group)
        for image, group in zip(found.images, numbers[len(group_of) :].tolist(), strict=True)
    ]
    return Unlabelled(images=images, ties=numbers[: len(group_of)].tolist(), confidence=confidence)


def _keys(everything: Inspection, group_of: Indices, pairs: Sequence[Pair]) -> list[list[str]]:
    keys = [[f"pixels {image.pixels_digest}"] for image in everything.images]
    for row, group in enumerate(group_of.tolist()):
        keys[row].append(f"group {group}")
    place = {image.sample.path: row for row, image in enumerate(everything.images)}
    for number, pair in enumerate(pairs):
        for file in (pair.file_a, pair.file_b):
            keys[place[file]].append(f"pair {number}")
    return keys


def usable(given: Unlabelled, split: Split) -> NDArray[np.bool_]:
    """Return which unlabelled images share nothing with a test or validation image, directly or along a chain.

    Args:
        given: the unlabelled images, U of them.
        split: of the labelled images.

    Returns:
        bool [U].
    """
    barred = np.array(given.ties, np.int64)[np.concatenate([split.validation, split.test])]
    return ~np.isin([image.group for image in given.images], barred)
