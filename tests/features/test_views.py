"""Cached augmented views of the contrastive stage: what is kept, what is computed, and what is refused."""

import csv
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.data.augmentation import view
from steelbench.data.images import ImageFiles
from steelbench.features import extraction, frozen_encoder
from steelbench.features.cache import spaces
from steelbench.features.extraction import EngineCheck
from steelbench.features.frozen_encoder import ExtractionContext
from steelbench.features.spec import ExtractionRequest, ImageRef, Part

pytestmark = pytest.mark.usefixtures("small_networks")

NAME, CACHE = "mobilenet_v2_035", "STEELBENCH_CACHE"


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=8)


def run(steel, results, *more):
    return main(
        [
            "run", "--data", str(steel), "--backbones", NAME, "--methods", "supcon", "--weights", "random",
            "--image-size", "32", "--epochs", "2", "--set", "supcon.classifier_epochs=2", "--engine", "keras",
            "--results", str(results), *more,
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--set", "supcon.views=2"), "supcon.views is 2, but without --augment"),
        (("--set", "supcon.views=2", "--augment", "light", "--unlabelled", "."), "--unlabelled works with one view"),
        (("--set", "supcon.views=17", "--augment", "light"), "supcon.views"),
    ],
)
def test_views_that_cannot_be_are_refused(steel, tmp_path, capsys, more, words):
    assert run(steel, tmp_path / "results", *more) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_views_are_computed_once_and_other_numbers_follow(steel, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    augmented = ("--augment", "light", "--set", "supcon.views=2")
    assert run(steel, tmp_path / "one") == 0
    assert run(steel, tmp_path / "two", *augmented) == 0
    before = stored(tmp_path / "cache")
    assert run(steel, tmp_path / "again", *augmented) == 0
    assert stored(tmp_path / "cache") == before
    assert run(steel, tmp_path / "three", "--augment", "light", "--set", "supcon.views=3") == 0

    # 24 images as they are, then two views of each, then the third.
    assert sorted(before.values()) == [24, 24, 24]
    assert sorted(stored(tmp_path / "cache").values()) == [24] * 4
    losses = {name: first_loss(tmp_path / name) for name in ("one", "two", "again", "three")}
    assert losses["two"] == losses["again"] and len(set(losses.values())) == 3
    record = json.loads((tmp_path / "two" / "runs" / "mobilenet_v2_035-supcon-s0-f0" / "result.json").read_text())
    assert record["augment"] == "light" and record["settings"]["views"] == 2


def stored(cache):
    """How many features each of the backbone's spaces holds."""
    return {space.folder: space.images for space in spaces(cache) if space.backbone == "mobilenet_v2_035"}


def first_loss(results):
    with (results / "runs" / "mobilenet_v2_035-supcon-s0-f0" / "history-contrastive.csv").open() as file:
        return next(csv.DictReader(file))["loss"]


def test_views_by_a_replaced_engine_are_kept_as_that_engines(tmp_path, monkeypatch):
    images = [ImageRef(path=f"{name}.png", digest=name, label=0) for name in "ab"]
    request = ExtractionRequest(
        images=images, labelled=2, root=tmp_path, cache=tmp_path / "cache", bit_depth=None, engine="openvino",
        precision="float32", calibration_rows=[], calibration_digest="",
    )  # fmt: skip
    for image in images:
        cv2.imwrite(str(tmp_path / image.path), np.full((16, 16, 3), 100, np.uint8))
    files, notes = ImageFiles(tmp_path, [image.path for image in images], None), []
    encoder = SimpleNamespace(output_shape=(None, 3), get_layer=lambda name: SimpleNamespace(height=16))
    failed = EngineCheck("keras", 0.5, 0.9, "openvino cannot run it")
    compute = lambda batches: (batch.mean(axis=(1, 2)) for batch in batches)  # noqa: E731
    monkeypatch.setattr(frozen_encoder, "choose_engine", lambda *_: "openvino")
    monkeypatch.setattr(frozen_encoder, "encoder_with_weights", lambda *_, **__: encoder)
    monkeypatch.setattr(frozen_encoder, "digest", lambda encoder: "d")
    monkeypatch.setattr(frozen_encoder, "checked_engine", lambda *_: (compute, failed))
    context = ExtractionContext(request, files, lambda *_: None, notes.append, lambda: None)
    part = Part(backbone="tiny", image_size=16, origin={"kind": "file", "md5": "m"})

    views = frozen_encoder.FrozenEncoder(part, context).views("light", 2)

    assert views.shape == (2, 2, 3) and len(notes) == 1
    kept = [space.description for space in spaces(tmp_path / "cache") if space.images]
    assert sorted((space["view"], space["engine"]) for space in kept) == [(0, "keras"), (1, "keras")]


def test_what_is_seen_is_the_changed_image(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.float32)
    monkeypatch.setattr(extraction, "read_image", lambda path, bit_depth: pixels)
    seen, written = [], []

    class FeatureStore:
        def __contains__(self, digest):
            return False

        def locked(self):
            return Open()

        def writer(self):
            return Open(lambda digests, values: written.extend(digests))

    class Open:
        def __init__(self, value=None):
            self.value = value

        def __enter__(self):
            return self.value

        def __exit__(self, *_):
            return False

    class Encoder:
        height = 40

        def get_layer(self, name):
            return self

    def engine(batches):
        for batch in batches:
            seen.append(batch)
            yield batch.mean(axis=(1, 2))

    count = extraction.extract(
        [ImageRef(path=name, digest=name) for name in ("a", "b")],
        FeatureStore(),
        root=tmp_path,
        encoder=Encoder(),
        compute=engine,
        batch=2,
        change=lambda image, digest: view("heavy", image, 1, digest),
    )

    assert count == 2 and written == ["a", "b"]
    expected = np.stack([view("heavy", pixels, 1, digest) for digest in ("a", "b")])
    np.testing.assert_array_equal(seen[0], expected)
    assert not np.array_equal(expected[0], expected[1]) and not np.array_equal(expected[0], pixels)
