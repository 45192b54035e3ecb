"""Specification of a feature extraction: images, networks, and the settings that all networks of a job share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelbench.records import Record

# Training images from which networks with random weights take their BatchNorm statistics.
CALIBRATION_IMAGES = 32
# The label of an image without one.
UNKNOWN = -1


class ImageRef(Record):
    """An image of a run.

    Attributes:
        path: below the data folder, with `/`; absolute for an image without a label.
        label: its class's number; `UNKNOWN` without a label.
        digest: sha256 of the file's bytes, by which features are kept.
        group: images that share pixels, or a group of the data, have one number.
        pixels_digest: sha256 of the decoded pixels; "" where the card of a model needs none.
    """

    path: str
    label: int = UNKNOWN
    digest: str
    group: int = 0
    pixels_digest: str = ""


class Part(Record):
    """One network of a job.

    Attributes:
        backbone: a name of `BACKBONES` or `hub:PRESET`.
        image_size: side of the square that it sees, pixels.
        origin: where its weights come from, the fields of `Origin`.
    """

    backbone: str
    image_size: int
    origin: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ExtractionRequest:
    """The images to extract features of, and the settings; the same for every network of a job.

    Attributes:
        images: the labelled images, then those without labels.
        labelled: how many of `images` have a label; augmented views are made of these alone.
        root: the folder that the images' paths are relative to.
        cache: the cache folder.
        bit_depth: used bits of 16-bit files; None for all.
        engine: auto, keras or openvino.
        precision: float32, bfloat16 or float16.
        homogenize: how brightness is homogenised: none, global or image.
        brightness: the training images' mean, 0..255, where it is.
        calibration_rows: the images from which random weights take their BatchNorm statistics.
        calibration_digest: stands for their content in the cache's key.
        limit: extract only so many images, to measure the rate; None for all.
    """

    images: list[ImageRef]
    labelled: int
    root: Path
    cache: Path
    bit_depth: int | None
    engine: str
    precision: str
    homogenize: str = "none"
    brightness: float = 0.0
    calibration_rows: list[int]
    calibration_digest: str
    limit: int | None = None

    @property
    def homogenization(self) -> dict[str, Any]:
        """Return how brightness is homogenised, as records and cache keys hold it; empty if it is not."""
        return {} if self.homogenize == "none" else {"homogenize": self.homogenize, "brightness": self.brightness}
