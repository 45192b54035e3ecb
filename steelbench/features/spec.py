"""What runs and feature extraction both name: an image, a network of an encoder."""

from __future__ import annotations

from steelbench.records import Record

CALIBRATION_IMAGES = 32
UNKNOWN = -1


class ImageRef(Record):
    """An image: its path below the data folder, its class number, the sha256 of its bytes, its group's number.

    An image without a label has the class number `UNKNOWN` and an absolute path.
    """

    path: str
    label: int
    digest: str
    group: int = 0


class Part(Record):
    """One network of a job: the side of the square that it sees, pixels, and where its weights come from."""

    backbone: str
    image_size: int
    origin: dict[str, str]
