"""NEU-CLS as published: all images in one folder, the class in the name (`Cr_1.bmp`)."""

from __future__ import annotations

import re
from pathlib import Path

from steelbench.data.images import is_image
from steelbench.data.samples import Dataset, make_sample
from steelbench.experiment import DataOptions

NEU_CLASSES = {
    "Cr": "crazing",
    "In": "inclusion",
    "Pa": "patches",
    "PS": "pitted_surface",
    "RS": "rolled-in_scale",
    "Sc": "scratches",
}
NEU_NAME = re.compile(r"(Cr|In|Pa|PS|RS|Sc)_\d+")


def has_neu_names(path: Path) -> bool:
    """Return whether a folder holds an image with a name of NEU-CLS."""
    return path.is_dir() and any(is_image(p) and NEU_NAME.fullmatch(p.stem) for p in path.iterdir())


def read_neu_names(root: Path, _options: DataOptions) -> Dataset:
    """Return the images with a name of NEU-CLS."""
    images = [path for path in sorted(root.iterdir()) if is_image(path) and not path.is_dir()]
    named = [path for path in images if NEU_NAME.fullmatch(path.stem)]
    samples = [make_sample(root, path, NEU_CLASSES[path.stem.split("_")[0]]) for path in named]
    return Dataset(root, tuple(samples), {"no NEU-CLS name": len(images) - len(named)})
