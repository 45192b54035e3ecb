"""`steelbench data check DIR`: what a data folder is read as, by names and headers only, before anything is trained."""

from __future__ import annotations

from collections import Counter

from steelbench.cli.recognised import long_lines
from steelbench.data.inspection import MIN_PER_CLASS
from steelbench.data.label_names import refuse_names
from steelbench.data.readers import read_dataset
from steelbench.data.samples import Dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def check_data(options: DataOptions) -> None:
    """Print what was recognised.

    Raises:
        SteelbenchError: if it cannot be read, or, after what was recognised is printed, if a run would refuse it.
    """
    name, dataset = read_dataset(options)
    print(*long_lines(name, dataset, options), sep="\n", flush=True)
    _refuse_classes(dataset)


def _refuse_classes(dataset: Dataset) -> None:
    """Refuse what a run refuses after it has decoded all images, as far as their number says."""
    counts = Counter(sample.label for sample in dataset.samples)
    small = sorted(name for name in {*counts, *dataset.empty} if counts[name] < MIN_PER_CLASS)
    if small:
        raise SteelbenchError(
            f"class '{small[0]}' has {counts[small[0]]} image{'' if counts[small[0]] == 1 else 's'}; at least "
            f"{MIN_PER_CLASS} are needed (training, validation, test). Add images or remove the class; --drop-small "
            f"{MIN_PER_CLASS} leaves such classes out."
        )
    if len(counts) < 2:
        raise SteelbenchError(
            f"{dataset.root} holds {len(counts) or 'no'} class{'' if len(counts) == 1 else 'es'} of images; at least "
            "two are needed to compare. Expected one folder for each class."
        )
    refuse_names(counts)
