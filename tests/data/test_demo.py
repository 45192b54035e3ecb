"""The demo data set against its own pixels: everything listed is there, and nothing else is."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.data import demo
from steelbench.data.demo import CLASSES, cached_demo, write_demo
from steelbench.data.demo_textures import surface
from steelbench.errors import SteelbenchError
from steelbench.training.baselines.hog import descriptor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("data") / "demo", images=360, seed=3)


@pytest.fixture(scope="module")
def truth(folder):
    return json.loads((folder / "truth.json").read_text())


@pytest.fixture(scope="module")
def pixels(folder):
    files = [path for path in folder.glob("*/*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int16)
        for path in files
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shared(a, b, dy, dx):
    """The pixels of `a` and of `b` that show the same place, by looking up each place on its own."""
    rows = [y for y in range(200) if 0 <= y - dy < 200]
    columns = [x for x in range(200) if 0 <= x - dx < 200]
    shifted_rows, shifted_columns = [y - dy for y in rows], [x - dx for x in columns]
    return a[np.ix_(rows, columns)], b[np.ix_(shifted_rows, shifted_columns)]


def listed(truth, kind):
    return [pair for pair in truth["pairs"] if pair["kind"] == kind]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    first, second, other = (write_demo(tmp_path / str(k), images=60, seed=k // 2) for k in range(3))

    assert contents(first) == contents(second)
    assert contents(first) != contents(other)


@pytest.mark.parametrize("images", [60, 61, 100])
def test_exactly_as_many_files_as_asked_for_in_balanced_classes(tmp_path, images):
    out = write_demo(tmp_path / "new" / "demo", images=images)

    counts = [len(list((out / name).iterdir())) for name in CLASSES]
    assert sum(counts) == images
    assert max(counts) - min(counts) <= 1
    truth = json.loads((out / "truth.json").read_text())
    assert {"exact", "near", "overlap"} == {pair["kind"] for pair in truth["pairs"]}
    assert len(truth["mislabelled"]) == 1


def test_images_are_gray_and_nowhere_flat(pixels):
    assert len(pixels) == 360
    for image in pixels.values():
        assert image.shape == (200, 200)
        tiles = image.reshape(8, 25, 8, 25).std(axis=(1, 3))
        assert tiles.min() > 2


def test_exact_copies_are_equal_and_one_of_them_crosses_classes(folder, truth):
    pairs = listed(truth, "exact")

    assert len(pairs) == 6
    assert {pair["same_label"] for pair in pairs} == {True, False}
    for pair in pairs:
        assert (folder / pair["file_a"]).read_bytes() == (folder / pair["file_b"]).read_bytes()


def test_near_copies_differ_a_little(truth, pixels):
    pairs = listed(truth, "near")

    assert len(pairs) == 6
    for pair in pairs:
        difference = np.abs(pixels[pair["file_a"]] - pixels[pair["file_b"]]).mean()
        assert 0.1 < difference < 8
        assert {Path(pair["file_a"]).suffix, Path(pair["file_b"]).suffix} == {".png", ".jpg"}


def test_overlapping_crops_agree_where_they_overlap(truth, pixels):
    pairs = listed(truth, "overlap")

    assert len(pairs) >= 8
    assert min(pair["overlap"] for pair in pairs) < 0.3
    assert max(pair["overlap"] for pair in pairs) > 0.65
    for pair in pairs:
        a, b = shared(pixels[pair["file_a"]], pixels[pair["file_b"]], pair["dy"], pair["dx"])
        assert pair["overlap"] == a.size / 200**2
        assert pair["dy"] and pair["dx"]
        # Two noises of one gray level each: the difference has a standard deviation of sqrt(2).
        assert (a - b).std() < 1.7
        assert a.std() > 4


def test_pairs_are_well_formed(truth):
    names = [(pair["file_a"], pair["file_b"]) for pair in truth["pairs"]]

    assert len(set(names)) == len(names)
    for pair, (file_a, file_b) in zip(truth["pairs"], names, strict=True):
        assert file_a < file_b
        assert pair["same_label"] == (Path(file_a).parent == Path(file_b).parent)
        if pair["kind"] != "overlap":
            assert (pair["overlap"], pair["dy"], pair["dx"]) == (1, 0, 0)


def test_no_unlisted_pair_shares_a_place(truth, pixels):
    """Normalised cross-correlation of a tile from each of 40 images with the 39 others."""
    names = sorted(pixels)[::9]
    known = {frozenset((pair["file_a"], pair["file_b"])) for pair in truth["pairs"]}
    high_pass = {name: pixels[name] - cv2.GaussianBlur(pixels[name].astype(np.float32), (0, 0), 3) for name in names}
    for tile_of in names:
        tile = np.float32(high_pass[tile_of][70:130, 70:130])
        for other in names:
            if other != tile_of and frozenset((tile_of, other)) not in known:
                assert cv2.matchTemplate(high_pass[other], tile, cv2.TM_CCOEFF_NORMED).max() < 0.5


def test_no_unlisted_pair_lies_on_top_of_each_other(truth, pixels):
    names = sorted(pixels)
    rows = np.stack([pixels[name].ravel() for name in names]).astype(np.float32)
    rows = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    correlation = rows @ rows.T / rows.shape[1]
    close = {(names[i], names[j]) for i, j in zip(*np.where(np.triu(correlation, 1) > 0.95), strict=True)}

    whole = {(p["file_a"], p["file_b"]) for p in listed(truth, "exact") + listed(truth, "near")}
    assert close - whole == set()
    assert {(p["file_a"], p["file_b"]) for p in listed(truth, "exact")} <= close


def test_the_mislabelled_image_lies_in_the_wrong_folder_and_in_no_pair(truth, pixels):
    (wrong,) = truth["mislabelled"]

    assert wrong["file"] in pixels
    assert wrong["file"].split("/")[0] == wrong["label"] != wrong["true_label"]
    assert wrong["true_label"] in CLASSES
    assert wrong["file"] not in {pair[side] for pair in truth["pairs"] for side in ("file_a", "file_b")}


@pytest.mark.parametrize(("images", "seed"), [(59, 0), (100_001, 0), (360, -1)])
def test_numbers_out_of_bounds_are_refused(tmp_path, images, seed):
    for make in (write_demo, cached_demo):
        with pytest.raises(SteelbenchError, match=f"{min(images, seed) if seed else images}"):
            make(tmp_path / "demo", images=images, seed=seed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("difficulty", [-0.01, 1.01, float("nan")])
def test_a_difficulty_out_of_bounds_is_refused(tmp_path, difficulty):
    for make in (write_demo, cached_demo):
        with pytest.raises(SteelbenchError, match=f"difficulty is {difficulty}"):
            make(tmp_path / "demo", difficulty=difficulty)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_difficulty_down_and_has_the_same_default(tmp_path):
    for name, more in (("usual", []), ("easy", ["--difficulty", "0"])):
        assert main(["data", "demo", str(tmp_path / name), "--images", "60", *more]) == 0

    told = {name: json.loads((tmp_path / name / "truth.json").read_text())["difficulty"] for name in ("usual", "easy")}
    assert told == {"usual": demo.DIFFICULTY, "easy": 0.0}
    assert contents(tmp_path / "usual") == contents(write_demo(tmp_path / "same", images=60))
    assert contents(tmp_path / "usual")["none/none_1.png"] != contents(tmp_path / "easy")["none/none_1.png"]


def drawn(name, difficulty, seed=4):
    return surface(np.random.default_rng(seed), name, (200, 240), difficulty)


def test_at_difficulty_1_the_class_does_not_change_a_pixel():
    """So the label tells nothing about the picture, whatever method looks at it."""
    for seed in range(10):
        first, *others = (drawn(name, 1.0, seed) for name in CLASSES)
        assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(drawn("scratches", 0.99), drawn("none", 0.99))


def nearest_wrong(difficulty):
    """Share of images whose nearest neighbour, by HOG, shows another class; 12 images of each class."""
    labels = np.repeat(np.arange(len(CLASSES)), 12)
    images = [drawn(CLASSES[label], difficulty, 1000 + place) for place, label in enumerate(labels)]
    gray = [np.clip(image[:, :200], 0, 255).astype(np.uint8) for image in images]
    found = np.stack([descriptor(np.repeat(image[..., None], 3, axis=2)) for image in gray])
    distance = np.linalg.norm(found[:, None] - found[None], axis=2) + np.diag(np.full(len(labels), np.inf))
    return np.mean(labels[distance.argmin(axis=1)] != labels)


def test_the_dial_makes_the_classes_harder_to_tell_apart():
    easy, usual, impossible = (nearest_wrong(difficulty) for difficulty in (0.0, demo.DIFFICULTY, 1.0))

    assert easy < 0.35 < usual - 0.05
    # Chance is 6/7; 84 draws of it lie above .74 but once in a thousand times.
    assert usual + 0.1 < impossible and impossible > 0.74


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_at_both_ends_of_the_dial_everything_is_planted_and_no_image_is_flat(tmp_path, difficulty):
    out = write_demo(tmp_path / "demo", images=60, difficulty=difficulty)

    truth = json.loads((out / "truth.json").read_text())
    assert {"exact", "near", "overlap"} == {pair["kind"] for pair in truth["pairs"]} and truth["mislabelled"]
    for path in out.glob("*/*"):
        tiles = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(float).reshape(8, 25, 8, 25).std(axis=(1, 3))
        assert tiles.min() > 2


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(SteelbenchError, match="overwrites nothing"):
            write_demo(out)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


def test_the_cache_is_made_once_and_leaves_nothing_else(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        folders = set(pool.map(lambda _: cached_demo(tmp_path, images=60, seed=1), range(3)))

    (folder,) = folders
    assert [path.name for path in tmp_path.iterdir()] == [f"demo-v{demo.VERSION}-60-1-0.5"]
    before = folder.stat().st_mtime_ns
    assert cached_demo(tmp_path, images=60, seed=1) == folder
    assert cached_demo(tmp_path, images=60, seed=1, difficulty=1) != folder
    assert folder.stat().st_mtime_ns == before


def test_an_interrupted_writer_leaves_no_cached_folder(tmp_path, monkeypatch):
    def fail(*_written):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        cached_demo(tmp_path, images=60)
    assert not list(tmp_path.iterdir())
