"""Features that do not change from image to image: genuine networks do not, a wrong pixel range does."""

from pathlib import Path

import numpy as np
import pytest

from steelbench.arrays import column_blocks
from steelbench.evaluation.notices import LEAST_SPREAD
from steelbench.features import extraction
from steelbench.features.extraction import feature_health


def test_spread_of_a_case_counted_by_hand():
    features = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    found = feature_health(features)

    # Variances 1 and 0; mean squares 5 and 25.
    assert found["spread"] == pytest.approx(np.sqrt(0.5 / 15))
    assert found["constant"] == 0.5


def test_the_features_of_many_images_are_taken_in_blocks(monkeypatch):
    features = np.random.default_rng(0).gamma(0.5, size=(200, 61)).astype(np.float32)
    features[:, 60] = 2
    whole = feature_health(features)
    monkeypatch.setattr(extraction, "column_blocks", lambda x: column_blocks(x, most_bytes=1))

    found = feature_health(features)

    assert found == pytest.approx(whole, rel=1e-12) and found["constant"] == pytest.approx(1 / 61)


def test_features_that_are_all_zero_have_no_spread():
    assert feature_health(np.zeros((4, 3), np.float32)) == {"spread": 0.0, "constant": 1.0}


def test_independent_features_have_a_spread_of_one():
    features = np.random.default_rng(0).standard_normal((500, 40)).astype(np.float32)

    assert feature_health(features)["spread"] == pytest.approx(1, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v2_035"])
def test_pixels_in_0_to_1_leave_a_pretrained_network_blind(name, data_folder, weights_folder):
    from steelbench.data.images import read_image, resize
    from steelbench.models.pretrained import encoder_with_weights
    from steelbench.models.weight_files import resolve

    encoder = encoder_with_weights(name, resolve(name, "imagenet", weights_folder))
    files = sorted((Path(data_folder) / "NEU").rglob("*.[jb][pm][gp]"))[::40]
    pixels = np.stack([resize(read_image(path, None), 224) for path in files])
    right, wrong = (feature_health(np.asarray(encoder(x, training=False))) for x in (pixels, pixels / 255))

    assert right["spread"] > LEAST_SPREAD > wrong["spread"]
