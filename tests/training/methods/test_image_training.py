"""Rules for every method that changes the encoder, and the images that they share."""

import dataclasses
from collections import Counter

import cv2
import numpy as np
import pytest
from image_sets import FINETUNE, SUPCON, changed, weights_of

from steelbench.data import images as data_images
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods import finetune, image_training, supcon
from steelbench.training.methods.image_training import Inference

TRAIN = {"finetune": finetune.train_finetune, "supcon": supcon.train_supcon_on_images}


@pytest.mark.parametrize(("method", "settings"), [("finetune", FINETUNE), ("supcon", SUPCON)])
def test_a_copy_of_the_encoder_learns_and_features_are_those_of_the_copy(images, method, settings):
    before = weights_of(images.encoder)

    trained = TRAIN[method](images, settings, FitContext())

    assert not changed(before, weights_of(images.encoder)) and changed(before, weights_of(trained.encoder))
    features = trained.encoder(images.pixels.astype(np.float32), training=False)
    np.testing.assert_allclose(trained.features, features, atol=1e-4)


# One with augmentation, which reads pixels, and one without, which reads activations.
@pytest.mark.parametrize(
    ("method", "settings", "preset"), [("finetune", FINETUNE, "light"), ("supcon", SUPCON, "none")]
)
def test_an_interrupted_run_ends_as_one_that_was_not(images, method, settings, preset, tmp_path):
    train, images = TRAIN[method], dataclasses.replace(images, preset=preset)
    whole = train(images, settings, FitContext(seed=2))

    def kill(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(images, settings, FitContext(seed=2, state=tmp_path, save_seconds=0, progress=kill))
    again = train(images, settings, FitContext(seed=2, state=tmp_path, save_seconds=0))

    assert again.fits == whole.fits
    assert np.array_equal(again.features, whole.features)


def test_augmented_images_are_seen_in_training_alone(images, monkeypatch):
    seen = []
    monkeypatch.setattr(
        image_training, "augment", lambda preset, images, seed: seen.append((len(images), seed)) or images
    )
    finetune.train_finetune(dataclasses.replace(images, preset="light"), FINETUNE, FitContext(seed=7))

    # Two epochs of three batches; validation and test images stay as they are.
    assert sorted(seen) == [(12, (7, number)) for number in range(6)]


def test_activations_are_those_of_the_part_that_never_learns(images):
    encoder = images.copy_encoder("last:4")
    source, learning = images.precompute(encoder)

    assert source.shape[0] == 60 and source.dtype == np.float32
    np.testing.assert_allclose(Inference(learning)(source), encoder(images.pixels.astype(np.float32)), atol=1e-4)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 60])
def test_inference_of_a_sample_does_not_depend_on_its_batch_and_traces_once(images, count):
    infer = Inference(images.encoder)
    whole = infer(images.pixels)
    rows = np.random.default_rng(count).permutation(60)[:count]

    assert np.array_equal(infer(images.pixels, rows), whole[rows])
    assert infer.run.experimental_get_tracing_count() == 1


def test_crops_of_one_image_are_decoded_once_for_all_epochs(images, tmp_path, monkeypatch):
    """Two of the fixture's images stand in each file, side by side."""
    for number, (left, right) in enumerate(zip(images.pixels[::2], images.pixels[1::2], strict=True)):
        beside = np.concatenate([left, right], axis=1)
        assert cv2.imwrite(str(tmp_path / f"{number:03}.png"), beside[..., ::-1])
    count, size = len(images.pixels), images.pixels.shape[1]
    paths = [f"{row // 2:03}.png#{row % 2 * size},0,{size},{size}" for row in range(count)]
    decoded, real = Counter(), data_images.decode

    def decode(data, bit_depth=None):
        decoded.update([data])
        return real(data, bit_depth)

    monkeypatch.setattr(data_images, "decode", decode)

    pixels = image_training.read_pixels(data_images.ImageFiles(tmp_path, paths, None), range(count), size)
    np.testing.assert_array_equal(pixels, images.pixels)
    TRAIN["finetune"](dataclasses.replace(images, pixels=pixels), FINETUNE, FitContext())

    assert FINETUNE.epochs > 1
    assert len(decoded) == count // 2 and set(decoded.values()) == {1}
