"""What the tests of methods that train an encoder share."""

import numpy as np
import pytest
from image_sets import copied, small_encoder, stripes

from steelbench.data.splits import Split
from steelbench.models.pretrained import calibrate
from steelbench.training.methods import image_training
from steelbench.training.methods.image_training import ImageTrainingSet


@pytest.fixture
def images(monkeypatch):
    """60 images of three classes and their encoder."""
    monkeypatch.setattr(image_training, "rebuild", copied)
    labels = np.arange(60) % 3
    pixels, encoder = stripes(labels), small_encoder()
    calibrate(encoder, pixels[:32].astype(np.float32))
    encoder.trainable = False
    split = Split(np.arange(0, 36), np.arange(36, 48), np.arange(48, 60))
    return ImageTrainingSet(
        encoder=encoder, pretrained=True, pixels=pixels, digest="d", labels=labels, num_classes=3, split=split
    )
