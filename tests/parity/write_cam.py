"""What grad-cam says of a small network: maps of every class for some images, with a linear head and a deep one."""

import importlib.metadata

import numpy as np
import torch
import torchvision_stub  # noqa: F401 - before grad-cam, which imports torchvision
from batches import numbers, write
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

SIDE, CHANNELS, HIDDEN, CLASSES, IMAGES = 15, 6, 5, 4, 3


class Unit(nn.Module):
    def forward(self, x):
        return nn.functional.normalize(x, dim=1)


class Recorded(GradCAM):
    """Keeps the maps before they are rectified, scaled to 0..1 and enlarged."""

    def get_cam_image(self, *args, **options):
        self.raw = super().get_cam_image(*args, **options)
        return self.raw

    def get_target_width_height(self, images):
        return None


def drawn(*shape):
    """Random weights, scaled so that activations neither vanish nor grow."""
    return (RANDOM.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def conv(weight):
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, stride=2, bias=False)
    layer.weight.data = torch.from_numpy(weight)
    return layer


def linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    return layer


RANDOM = np.random.default_rng(1702)
pixels = RANDOM.integers(0, 256, (IMAGES, 3, SIDE, SIDE)).astype(np.float32) / 255
convolutions = [drawn(CHANNELS, 3, 3, 3), drawn(CHANNELS, CHANNELS, 3, 3)]
heads = {
    "linear": [(drawn(CLASSES, CHANNELS), drawn(1, CLASSES)[0])],
    "deep": [
        (drawn(HIDDEN, CHANNELS), np.full(HIDDEN, 0.1, np.float32)),
        (drawn(CLASSES, HIDDEN), drawn(1, CLASSES)[0]),
    ],
}
cases = {"network": {"pixels": numbers(pixels), "kernels": [numbers(weight) for weight in convolutions]}}
for name, layers in heads.items():
    last = nn.ReLU()
    first = [conv(convolutions[0]), nn.ReLU(), conv(convolutions[1]), last, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    hidden = [linear(*layers[0]), nn.ReLU(), Unit()] if len(layers) > 1 else []
    model = nn.Sequential(*first, *hidden, linear(*layers[-1])).eval()
    found = {"raw": [], "scaled": []}
    for number in range(CLASSES):
        with Recorded(model=model, target_layers=[last]) as explain:
            scaled = explain(torch.from_numpy(pixels), [ClassifierOutputTarget(number)] * IMAGES)
        found["raw"].append(numbers(explain.raw))
        found["scaled"].append(numbers(scaled))
    with torch.no_grad():
        scores = model(torch.from_numpy(pixels)).numpy()
    weights = [[numbers(weight), numbers(bias)] for weight, bias in layers]
    cases[name] = {"layers": weights, "scores": numbers(scores), **found}
versions = {package: importlib.metadata.version(package) for package in ("grad-cam", "torch")}
write("cam", versions, cases)
