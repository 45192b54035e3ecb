"""`steelbench data check DIR`: what a data folder is read as, by names and headers only, before anything is trained."""

from __future__ import annotations

from collections import Counter

from steelbench.cli.recognised import long_lines
from steelbench.data.inspection import refuse_classes
from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def check_data(options: DataOptions) -> None:
    """Print what was recognised.

    Raises:
        SteelbenchError: if it cannot be read, or no network could be trained on it, after what was seen is printed.
    """
    name, dataset = read_dataset(options)
    print(*long_lines(name, dataset, options), sep="\n", flush=True)
    if not dataset.samples:
        raise SteelbenchError(f"{dataset.root} holds no labelled images; expected a folder of images for each class.")
    refuse_classes(dataset, Counter(sample.label for sample in dataset.samples))
