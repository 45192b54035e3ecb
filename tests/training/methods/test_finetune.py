"""Fine-tuning: which layers learn, when the head learns alone, and that random weights learn as well."""

import dataclasses

from image_sets import FINETUNE, changed, weights_of

from steelbench.experiment import Finetune
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods import finetune


def test_last_layers_learn_and_the_others_stay(images):
    trained = finetune.train_finetune(images, FINETUNE, FitContext())
    before, after = weights_of(images.encoder), weights_of(trained.encoder)

    # The last four layers with weights are two convolutions and two normalisations, which stay.
    assert changed(before, after) == {"conv_1", "conv_2"}


def test_random_weights_train_their_normalisation_and_learn(images):
    fresh = dataclasses.replace(images, pretrained=False)
    settings = Finetune(epochs=6, batch_size=12, learning_rate=1e-3, head_factor=1)
    trained = finetune.train_finetune(fresh, settings, FitContext())
    before, after = weights_of(images.encoder), weights_of(trained.encoder)

    assert any(name.lower().endswith("bn") for name in changed(before, after))
    losses = [line.loss for line in trained.fits["classifier"].history]
    assert losses[-1] < losses[0]


def test_head_alone_comes_first_on_request(images):
    settings = FINETUNE.model_copy(update={"head_epochs": 3})
    trained = finetune.train_finetune(images, settings, FitContext())

    assert [len(done.history) for done in trained.fits.values()] == [3, 2]
