"""Extraction: every distinct image is seen by the network exactly once, whatever its name and its neighbours."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from at_once import run_at_once

from steelbench.data.images import UnreadableImageError
from steelbench.features.cache import FeatureStore
from steelbench.features.extraction import batches, extract
from steelbench.features.spec import ImageRef

SIZE, BATCH = 16, 4
ENCODER = SimpleNamespace(get_layer=lambda name: {"resizing": SimpleNamespace(height=SIZE)}[name])


class Counting:
    """An engine whose features are the mean colour; it remembers every batch."""

    def __init__(self):
        self.batches = []

    def __call__(self, rows):
        for batch in rows:
            self.batches.append(batch)
            yield batch.mean(axis=(1, 2))


def picture(folder, name, seed):
    """A PNG of one colour, which its seed decides."""
    folder.mkdir(parents=True, exist_ok=True)
    bgr = np.random.default_rng(seed).integers(0, 256, 3)
    assert cv2.imwrite(str(folder / name), np.full((9 + seed % 5, 7, 3), bgr, np.uint8))
    return folder / name


def colour(path):
    return cv2.imread(str(path))[0, 0, ::-1].astype(np.float32)


def reference(path):
    return ImageRef(path=str(path), digest=hashlib.sha256(path.read_bytes()).hexdigest())


def pictures(folder, seeds):
    return [reference(picture(folder, f"{seed}.png", seed)) for seed in seeds]


def look(cache, images, **options):
    """Extract; returns the batches that the engine saw and the features of the images, in their order."""
    engine, store = Counting(), FeatureStore(cache, "tiny", 3, {})
    extract(images, store, root=Path(), encoder=ENCODER, compute=engine, batch=BATCH, **options)
    return engine.batches, store.gather([image.digest for image in images])


def test_features_come_in_the_order_of_the_sources(tmp_path):
    sources = pictures(tmp_path / "data", range(10))

    _, found = look(tmp_path / "cache", sources)

    np.testing.assert_allclose(found, [colour(item.path) for item in sources], atol=1e-4)
    _, turned = look(tmp_path / "cache", sources[::-1])
    np.testing.assert_array_equal(turned, found[::-1])


@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
def test_every_batch_has_the_same_shape_and_every_image_is_in_one(tmp_path, n):
    sources = pictures(tmp_path / "data", range(n))

    seen, _ = look(tmp_path / "cache", sources)

    assert len(seen) == -(-n // BATCH)
    assert {batch.shape for batch in seen} == {(BATCH, SIZE, SIZE, 3)}
    real = np.concatenate(seen)[:n].mean(axis=(1, 2))
    np.testing.assert_allclose(real, [colour(item.path) for item in sources], atol=1e-4)


def test_second_time_the_network_is_not_asked(tmp_path):
    sources = pictures(tmp_path / "data", range(6))
    _, first = look(tmp_path / "cache", sources)

    seen, again = look(tmp_path / "cache", sources)

    assert seen == []
    np.testing.assert_array_equal(again, first)


def test_only_new_images_are_computed(tmp_path):
    look(tmp_path / "cache", pictures(tmp_path / "data", range(6)))

    seen, found = look(tmp_path / "cache", pictures(tmp_path / "data", range(7)))

    assert len(seen) == 1
    np.testing.assert_allclose(seen[0].mean(axis=(1, 2)), np.tile(colour(tmp_path / "data" / "6.png"), (BATCH, 1)))
    assert len(found) == 7


def test_renamed_images_are_not_computed_again(tmp_path):
    sources = pictures(tmp_path / "data", range(5))
    _, before = look(tmp_path / "cache", sources)
    (tmp_path / "data").rename(tmp_path / "moved")
    files = [tmp_path / "moved" / Path(item.path).name for item in sources]
    moved = [reference(file.rename(file.with_stem(f"new{i}"))) for i, file in enumerate(files)]

    seen, after = look(tmp_path / "cache", moved)

    assert seen == []
    np.testing.assert_array_equal(after, before)


def test_changed_image_under_an_old_name_is_computed(tmp_path):
    look(tmp_path / "cache", pictures(tmp_path / "data", range(5)))
    changed = reference(picture(tmp_path / "data", "2.png", 77))

    seen, found = look(tmp_path / "cache", [changed])

    assert len(seen) == 1
    np.testing.assert_allclose(found[0], colour(changed.path), atol=1e-4)


def test_copies_are_computed_once(tmp_path):
    sources = [reference(picture(tmp_path / str(copy), "a.png", 1)) for copy in range(9)]

    seen, found = look(tmp_path / "cache", sources)

    assert len(seen) == 1
    assert len(np.unique(found, axis=0)) == 1 and len(found) == 9


def test_progress_ends_at_the_images_that_were_missing(tmp_path):
    look(tmp_path / "cache", pictures(tmp_path / "data", range(2)))
    told = []

    look(tmp_path / "cache", pictures(tmp_path / "data", range(9)), progress=lambda *step: told.append(step[0]))

    assert told == [4, 7]


def test_what_was_computed_before_a_failure_is_kept(tmp_path):
    sources = pictures(tmp_path / "data", range(40))
    Path(sources[36].path).write_bytes(b"broken since")

    with pytest.raises(UnreadableImageError):
        look(tmp_path / "cache", sources)

    seen, _ = look(tmp_path / "cache", sources[:36])
    assert seen == []


def test_damaged_shard_costs_only_its_own_images(tmp_path):
    look(tmp_path / "cache", pictures(tmp_path / "data", range(4)))
    (first,) = (tmp_path / "cache").rglob("*.npy")
    _, before = look(tmp_path / "cache", pictures(tmp_path / "data", range(8)))
    content = bytearray(first.read_bytes())
    content[-2] ^= 4
    first.write_bytes(content)

    seen, after = look(tmp_path / "cache", pictures(tmp_path / "data", range(8)))

    assert len(seen) == 1
    np.testing.assert_array_equal(after, before)


def test_batches_are_padded_with_the_last_image():
    rows = [np.full((2, 2, 3), i, np.float32) for i in range(5)]

    padded = list(batches(rows, 3))

    assert [real for _, real in padded] == [3, 2]
    assert [batch[:, 0, 0, 0].tolist() for batch, _ in padded] == [[0, 1, 2], [3, 4, 4]]


def test_no_images_are_no_batches():
    assert list(batches([], 3)) == []


class Logging(Counting):
    """Also writes what it saw to a file."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def __call__(self, rows):
        for batch in rows:
            with self.log.open("a") as file:
                file.write(f"{len(np.unique(batch.mean(axis=(1, 2)), axis=0))}\n")
            yield batch.mean(axis=(1, 2))


def extract_logged(sources, cache, log, out):
    store = FeatureStore(cache, "tiny", 3, {})
    extract(sources, store, root=Path(), encoder=ENCODER, compute=Logging(log), batch=BATCH)
    np.save(out, store.gather([item.digest for item in sources]))


def test_two_runs_at_once_share_the_work(tmp_path):
    log, sources = tmp_path / "log", pictures(tmp_path / "data", range(30))

    calls = [
        (part, tmp_path / "cache", log, tmp_path / f"{i}.npy") for i, part in enumerate((sources[:20], sources[10:]))
    ]
    codes = run_at_once(extract_logged, *calls)

    assert codes == [0, 0]
    assert sum(map(int, log.read_text().split())) == 30
    first, second = np.load(tmp_path / "0.npy"), np.load(tmp_path / "1.npy")
    np.testing.assert_array_equal(first[10:], second[:10])
