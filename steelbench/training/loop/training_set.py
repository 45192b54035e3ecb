"""The training set: what every method on cached features is given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

import numpy as np

from steelbench.arrays import Features, Groups, Labels
from steelbench.data.splits import Split


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """The features of every image, with what is known of the images.

    Attributes:
        features: float32 [N, D], of all images, by the frozen encoder.
        labels: int64 [N], class numbers 0 to C - 1.
        num_classes: C.
        split: which rows train and which choose the epoch or a setting; no method touches the test rows.
        views: float32 [V, N, D], the features of V augmented views of each image; None if the run has none.
        groups: int64 [N]; images of one group share pixels. None if no two images do.
    """

    features: Features
    labels: Labels
    num_classes: int
    split: Split
    views: Features | None = None
    groups: Groups | None = None

    @property
    def train(self) -> tuple[Features, Labels]:
        """Features and labels of the training images, in the order of `split.train`."""
        return self.features[self.split.train], self.labels[self.split.train]

    @property
    def validation(self) -> tuple[Features, Labels]:
        """Features and labels of the validation images, in the order of `split.validation`."""
        return self.features[self.split.validation], self.labels[self.split.validation]

    def with_training_images(self, features: Features, labels: Labels, groups: Groups) -> Self:
        """Return the set with more training images behind the others; validation and test images stay.

        Args:
            features: float32 [M, D].
            labels: int64 [M].
            groups: int64 [M], numbered together with those of the set; not used where the set has no groups.

        Raises:
            ValueError: if the set has views, which the new images lack.
        """
        if self.views is not None:
            raise ValueError("images without views cannot join a training set that has views")
        added = len(self.features) + np.arange(len(features))
        return dataclasses.replace(
            self,
            features=np.concatenate([self.features, features]),
            labels=np.concatenate([self.labels, labels]),
            groups=None if self.groups is None else np.concatenate([self.groups, groups]),
            split=dataclasses.replace(self.split, train=np.concatenate([self.split.train, added])),
        )
