"""The demo data set: procedural steel defects with planted duplicates, overlapping crops and a wrong label.

`truth.json` lists everything that was planted, so that the audit can be checked against it. Each planted group is
cut from a surface of its own; files that no listed pair names together share no pixels. Its `difficulty` says how
much the classes have in common: at 1 the label tells nothing about the picture, and no method can beat chance.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from steelbench.arrays import Gray8Image
from steelbench.data.demo_textures import DIFFICULTY, PATCH, TEXTURES, Field, surface
from steelbench.errors import SteelbenchError
from steelbench.files import write_json

CLASSES: tuple[str, ...] = tuple(TEXTURES)
VERSION = 2  # of the pixels and of the planted groups; part of the cache's folder name

FEWEST, MOST = 60, 100_000
_SENSOR_NOISE = 1.0
_PLANTED_SHARE = {"exact": 1 / 60, "near": 1 / 60, "overlap": 1 / 45}  # groups for each image
_FEWEST_PLANTED = 2

Kind = Literal["single", "exact", "near", "overlap"]


@dataclass(frozen=True)
class _Group:
    """The files of one surface.

    Attributes:
        kind: of the pairs that they form.
        texture: class that the surface shows.
        folders: class folder of each file.
        origins: (y, x) of the first pixel of each file in the surface.
    """

    kind: Kind
    texture: str
    folders: tuple[str, ...]
    origins: tuple[tuple[int, int], ...]

    @property
    def mislabelled(self) -> bool:
        """Whether its only file lies in the folder of another class."""
        return self.kind == "single" and self.folders[0] != self.texture


def write_demo(out: Path, images: int = 360, seed: int = 0, difficulty: float = DIFFICULTY) -> Path:
    """Write the demo data set; the same arguments give the same bytes.

    Across machines, other versions of NumPy or OpenCV may round single pixels differently.

    Args:
        out: folder that is absent or empty; gets `<class>/<class>_<n>.png` (or `.jpg`) and `truth.json`,
            which is written last.
        images: number of image files in all, planted ones included, 60 to 100000.
        seed: not negative.
        difficulty: 0 (every class plain to see) to 1 (pictures that are independent of their labels).

    Returns:
        `out`.

    Raises:
        SteelbenchError: if a number is out of bounds or `out` holds anything.
    """
    _check(images, seed, difficulty)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SteelbenchError(
            f"{out} exists and is not an empty folder; the demo data set overwrites nothing. "
            "Name a new folder or empty this one."
        )
    for name in CLASSES:
        (out / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    numbers = {name: _numbers(rng, images, index) for index, name in enumerate(CLASSES)}
    pairs: list[dict[str, Any]] = []
    mislabelled: list[dict[str, str]] = []
    for index, group in enumerate(_plan(rng, images)):
        # A child seed for every surface: what one draws does not move the others.
        child = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        files = []
        for position, (suffix, content) in enumerate(_encoded(child, group, difficulty)):
            folder = group.folders[position]
            files.append(f"{folder}/{folder}_{next(numbers[folder])}{suffix}")
            (out / files[-1]).write_bytes(content)
        pairs += _pairs(group, files)
        if group.mislabelled:
            wrong = {"file": files[0], "label": group.folders[0], "true_label": group.texture}
            mislabelled.append(wrong)
    pairs.sort(key=lambda pair: (pair["file_a"], pair["file_b"]))
    made = {"version": VERSION, "seed": seed, "images": images, "difficulty": float(difficulty)}
    write_json(out / "truth.json", {**made, "pairs": pairs, "mislabelled": mislabelled})
    return out


def cached_demo(cache: Path, images: int = 360, seed: int = 0, difficulty: float = DIFFICULTY) -> Path:
    """Return the folder of the demo data set below `cache`, and make it first if it is absent.

    At any moment the folder is whole or absent, even if several processes ask for it at once.

    Raises:
        SteelbenchError: if a number is out of bounds.
    """
    _check(images, seed, difficulty)
    folder = cache / f"demo-v{VERSION}-{images}-{seed}-{float(difficulty)}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{folder.name}-") as temporary:
        made = write_demo(Path(temporary) / "demo", images, seed, difficulty)
        try:
            made.rename(folder)
        except OSError:
            # Another process was faster, and its files are the same as ours.
            if not (folder / "truth.json").is_file():
                raise
    return folder


def _check(images: int, seed: int, difficulty: float) -> None:
    if not FEWEST <= images <= MOST:
        raise SteelbenchError(
            f"the demo data set was asked for {images} images; it can have {FEWEST} to {MOST}. "
            "Choose a number in this range."
        )
    if seed < 0:
        raise SteelbenchError(f"the demo's seed is {seed}; it must not be negative. Choose 0 or more.")
    if not 0 <= difficulty <= 1:
        raise SteelbenchError(
            f"the demo's difficulty is {difficulty}; it goes from 0 (easy) to 1 (nothing to tell apart). "
            f"Choose a number in this range; {DIFFICULTY} is usual."
        )


def _numbers(rng: np.random.Generator, images: int, index: int) -> Iterator[int]:
    """The file numbers of a class in random order, so that planted files are not neighbours."""
    return iter((rng.permutation(len(range(index, images, len(CLASSES)))) + 1).tolist())


def _plan(rng: np.random.Generator, images: int) -> Iterator[_Group]:
    """Yield the groups to draw, planted ones first; folders are filled as evenly as `images` allows."""
    left = {name: len(range(index, images, len(CLASSES))) for index, name in enumerate(CLASSES)}
    for group in _planted(rng, images):
        for folder in group.folders:
            left[folder] -= 1
        yield group
    for folder, count in left.items():
        for _ in range(count):
            yield _Group("single", folder, (folder,), ((0, 0),))


def _planted(rng: np.random.Generator, images: int) -> Iterator[_Group]:
    """Yield the groups of `truth.json`: one wrong label, then a share of each kind of pair."""
    true, wrong = (CLASSES[k] for k in rng.permutation(len(CLASSES))[:2])
    yield _Group("single", true, (wrong,), ((0, 0),))
    counts = {kind: max(_FEWEST_PLANTED, round(share * images)) for kind, share in _PLANTED_SHARE.items()}
    start = int(rng.integers(len(CLASSES)))
    for k in range(counts["exact"]):
        name = CLASSES[(start + k) % len(CLASSES)]
        # Every sixth copy lies in another class; shifted by k, so that it is not always the same two.
        other = CLASSES[(start + k + 1 + k // 6 % (len(CLASSES) - 1)) % len(CLASSES)] if k % 6 == 0 else name
        yield _Group("exact", name, (name, other), ((0, 0), (0, 0)))
    for k in range(counts["near"]):
        name = CLASSES[(start + 3 + k) % len(CLASSES)]
        yield _Group("near", name, (name, name), ((0, 0), (0, 0)))
    for k in range(counts["overlap"]):
        name = CLASSES[(start + k) % len(CLASSES)]
        share = 0.1 + 0.7 * (k + rng.uniform()) / counts["overlap"]
        origins = _origins(rng, share, crops=2 + k % 2)
        yield _Group("overlap", name, (name,) * len(origins), origins)


def _origins(rng: np.random.Generator, share: float, crops: int) -> tuple[tuple[int, int], ...]:
    """Corners of crops; each shares about `share` of its area with the one before, and none is negative."""
    corners = [np.zeros(2, dtype=int)]
    while len(corners) < crops:
        split = rng.uniform(0.25, 0.75)
        shift = PATCH * (1 - share ** np.array([split, 1 - split]))
        corners.append(corners[-1] + np.floor(shift).astype(int) * rng.choice([-1, 1], 2))
    lowest = np.min(corners, axis=0)
    return tuple((int(y), int(x)) for y, x in np.array(corners) - lowest)


def _encoded(rng: np.random.Generator, group: _Group, difficulty: float) -> Iterator[tuple[str, bytes]]:
    """Yield the suffix and the content of every file of a group."""
    height, width = (PATCH + int(side) for side in np.max(group.origins, axis=0))
    # A wrong label is there to be found: its picture must be clear, except where no picture is.
    frame = surface(rng, group.texture, (height, width), difficulty**3 if group.mislabelled else difficulty)
    if group.kind == "overlap":
        for y, x in group.origins:
            yield ".png", _png(_exposed(rng, frame[y : y + PATCH, x : x + PATCH]))
        return
    pixels = _exposed(rng, frame)
    yield ".png", _png(pixels)
    if group.kind == "exact":
        yield ".png", _png(pixels)
    elif group.kind == "near":
        quality = int(rng.integers(60, 81))
        yield ".jpg", cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _exposed(rng: np.random.Generator, gray: Field) -> Gray8Image:
    noisy = gray + rng.normal(0, _SENSOR_NOISE, gray.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _png(pixels: Gray8Image) -> bytes:
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _pairs(group: _Group, files: list[str]) -> Iterator[dict[str, Any]]:
    """Yield every two files of a group that share pixels."""
    placed = sorted(zip(files, group.origins, strict=True))
    for (file_a, origin_a), (file_b, origin_b) in combinations(placed, 2):
        dy, dx = origin_b[0] - origin_a[0], origin_b[1] - origin_a[1]
        overlap = max(0, PATCH - abs(dy)) * max(0, PATCH - abs(dx)) / PATCH**2
        if overlap > 0:
            yield {
                "file_a": file_a,
                "file_b": file_b,
                "kind": group.kind,
                "overlap": overlap,
                "dy": dy,
                "dx": dx,
                "same_label": file_a.split("/")[0] == file_b.split("/")[0],
            }
