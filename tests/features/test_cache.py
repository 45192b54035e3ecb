"""The feature cache: found again by content, never damaged, never unpickled, shared by processes."""

import hashlib
import json
import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
from at_once import run_at_once

from steelbench.features import cache
from steelbench.features.cache import FeatureStore, clear, spaces

DIM = 40
WHAT = {"weights": "abc", "image_size": 32}


def digest(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def feature(number):
    return np.random.default_rng(number).standard_normal(DIM).astype(np.float32)


def features(numbers):
    return np.stack([feature(number) for number in numbers])


def space(root, depends_on=WHAT, backbone="tiny"):
    return FeatureStore(root, backbone, DIM, depends_on)


def add(root, numbers, **kind):
    """Store the features of some images by a new object, as one shard; returns the space."""
    found = space(root, **kind)
    with found.locked(), found.writer() as write:
        write([digest(number) for number in numbers], features(numbers))
    return found


def have(root, numbers, **kind):
    """Which of the images a new object finds."""
    found = space(root, **kind)
    with found.locked():
        return [number for number in numbers if digest(number) in found]


def shards(root):
    return sorted(root.rglob("*.npy"))


def test_what_is_added_is_gathered_in_any_order(tmp_path):
    added = add(tmp_path, range(10))
    again = space(tmp_path)
    with again.locked():
        for found in (added, again):
            order = [7, 0, 9, 7]
            np.testing.assert_array_equal(found.gather([digest(n) for n in order]), features(order))
            assert len(found) == 10
            assert digest(3) in found and digest(11) not in found
            with pytest.raises(KeyError):
                found.gather([digest(11)])


def test_features_of_several_writers_add_up(tmp_path):
    add(tmp_path, range(4))
    found = add(tmp_path, range(4, 9))

    np.testing.assert_array_equal(found.gather([digest(n) for n in range(9)]), features(range(9)))
    assert len(shards(tmp_path)) == 2


def test_gathering_nothing_is_an_empty_table(tmp_path):
    assert add(tmp_path, [0]).gather([]).shape == (0, DIM)


@pytest.mark.parametrize(
    "other",
    [
        {"depends_on": {**WHAT, "weights": "abd"}},
        {"depends_on": {**WHAT, "image_size": 33}},
        {"depends_on": {**WHAT, "more": None}},
        {"backbone": "other"},
    ],
    ids=["weights", "image_size", "one more", "backbone"],
)
def test_anything_else_that_features_depend_on_makes_another_space(tmp_path, other):
    add(tmp_path, range(3))

    assert have(tmp_path, range(3), **other) == []
    assert have(tmp_path, range(3)) == [0, 1, 2]


def test_order_of_the_description_does_not_matter(tmp_path):
    add(tmp_path, range(3))

    assert have(tmp_path, range(3), depends_on=dict(reversed(WHAT.items()))) == [0, 1, 2]


def test_description_beside_the_shards_says_what_they_depend_on(tmp_path):
    folder = add(tmp_path, [0]).folder

    assert folder.parent == tmp_path / "features" / "tiny"
    assert json.loads((folder / "space.json").read_text()) == {**WHAT, "backbone": "tiny", "dim": DIM}


def flip(path, where):
    content = bytearray(path.read_bytes())
    content[where] ^= 0x01
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip(path, -1),
        lambda path: flip(path, 130),
        lambda path: flip(path, 2),
        lambda path: os.truncate(path, path.stat().st_size - 1),
        lambda path: os.truncate(path, 200),
        lambda path: os.truncate(path, 0),
        lambda path: path.write_bytes(b"not a shard"),
        lambda path: np.save(path, np.zeros(5)),
        lambda path: path.rename(path.with_stem("0" * 32)),
    ],
    ids=["feature", "digest", "header", "shorter", "much shorter", "empty", "text", "other array", "renamed"],
)
def test_damaged_shard_is_dropped_and_its_images_are_missing(tmp_path, damage):
    add(tmp_path, range(3))
    (sound,) = shards(tmp_path)
    add(tmp_path, range(3, 6))
    (damaged,) = set(shards(tmp_path)) - {sound}
    damage(damaged)

    assert have(tmp_path, range(6)) == [0, 1, 2]
    assert shards(tmp_path) == [sound]

    found = add(tmp_path, range(3, 6))
    np.testing.assert_array_equal(found.gather([digest(n) for n in range(6)][3:]), features(range(3, 6)))


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_is_ever_unpickled(tmp_path):
    folder, trap = add(tmp_path, range(3)).folder, tmp_path / "trap"
    np.save(folder / "evil.npy", np.array([Malicious(trap)], object), allow_pickle=True)

    assert have(tmp_path, range(3)) == [0, 1, 2]
    assert not trap.exists()
    assert not (folder / "evil.npy").exists()


def test_what_a_killed_process_left_is_removed(tmp_path):
    folder = add(tmp_path, range(3)).folder
    left = folder / ".0123-abc.npy"
    left.write_bytes(shards(tmp_path)[0].read_bytes()[:300])

    assert have(tmp_path, range(3)) == [0, 1, 2]
    assert not left.exists()


def test_interrupted_writer_keeps_what_it_was_given(tmp_path):
    found = space(tmp_path)

    with pytest.raises(KeyboardInterrupt), found.locked(), found.writer() as write:
        write([digest(0), digest(1)], features([0, 1]))
        raise KeyboardInterrupt

    assert have(tmp_path, range(3)) == [0, 1]


@pytest.mark.parametrize("limit", ["bytes", "seconds"])
def test_large_shards_and_slow_ones_are_written_early(tmp_path, monkeypatch, limit):
    if limit == "bytes":
        monkeypatch.setattr(cache, "SHARD_BYTES", 5 * (64 + 4 * DIM))
    else:
        monkeypatch.setattr(cache, "SHARD_SECONDS", -1.0)
    found = space(tmp_path)

    with found.locked(), found.writer() as write:
        for start in range(0, 12, 3):
            write([digest(n) for n in range(start, start + 3)], features(range(start, start + 3)))
        before_the_end = len(shards(tmp_path))

    assert before_the_end == (2 if limit == "bytes" else 4)
    assert have(tmp_path, range(12)) == list(range(12))


def test_a_shard_is_whole_or_absent(tmp_path, monkeypatch):
    def full_disk(file, *_, **__):
        file.write(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.np, "save", full_disk)
        with pytest.raises(OSError, match="no space"):
            add(tmp_path, range(3))

    assert not list(tmp_path.rglob("*.npy"))


def compute_missing(root, numbers, log):
    """As an extraction does: under the lock, whatever is not there yet."""
    found = space(root)
    with found.locked(), found.writer() as write:
        for number in numbers:
            if digest(number) not in found:
                with log.open("a") as file:
                    file.write(f"{number}\n")
                write([digest(number)], features([number]))
    got = found.gather([digest(number) for number in numbers])
    np.testing.assert_array_equal(got, features(numbers))


def test_two_processes_compute_each_image_once(tmp_path):
    log = tmp_path / "log"

    codes = run_at_once(compute_missing, (tmp_path, range(20), log), (tmp_path, range(10, 30), log))

    assert codes == [0, 0]
    assert sorted(map(int, log.read_text().split())) == list(range(30))


def die_in_the_middle(root):
    found = space(root)
    with found.locked(), found.writer() as write:
        write([digest(0)], features([0]))
        os._exit(9)


def test_a_process_that_died_holds_no_lock(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=die_in_the_middle, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 9

    found = []
    thread = threading.Thread(target=lambda: found.append(have(tmp_path, [0])), daemon=True)
    thread.start()
    thread.join(20)
    assert found == [[]]


MEASURED = {"difference": 1e-6, "images_per_second": 50.0}


def test_measurements_are_kept_for_other_processes_and_added_to(tmp_path):
    store = space(tmp_path)
    assert store.measurements() == {}

    store.write_measurements(MEASURED)
    space(tmp_path).write_measurements({"images_per_second": 60.0, "memory_gib": None})

    assert store.measurements() == {**MEASURED, "images_per_second": 60.0, "memory_gib": None}


def test_measurements_of_an_older_cache_are_read_until_there_are_newer_ones(tmp_path):
    store = add(tmp_path, range(2))
    (store.folder / "check.json").write_text(json.dumps(MEASURED))
    assert store.measurements() == spaces(tmp_path)[0].measurements == MEASURED

    store.write_measurements({"images_per_second": 60.0})

    assert store.measurements() == {**MEASURED, "images_per_second": 60.0}
    assert have(tmp_path, range(2)) == [0, 1]


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_damaged_measurements_are_none(tmp_path, text):
    store = add(tmp_path, [0])
    (store.folder / "extraction.json").write_text(text)

    assert store.measurements() == {}


def test_figures_of_the_spaces(tmp_path):
    add(tmp_path, range(5))
    add(tmp_path, range(5, 7))
    add(tmp_path, range(3), backbone="other")

    found = {item.backbone: item for item in spaces(tmp_path)}

    assert {name: item.images for name, item in found.items()} == {"tiny": 7, "other": 3}
    assert found["tiny"].size == sum(path.stat().st_size for path in found["tiny"].folder.glob("*.npy"))
    assert found["tiny"].description["weights"] == "abc"
    assert found["tiny"].used == max(path.stat().st_mtime for path in found["tiny"].folder.glob("*.npy"))


@pytest.mark.parametrize("dim", [1, 8, 1280])
def test_images_are_counted_for_short_and_long_features(tmp_path, dim):
    found = FeatureStore(tmp_path, "tiny", dim, {})
    with found.locked(), found.writer() as write:
        write([digest(n) for n in range(9)], np.zeros((9, dim), np.float32))

    assert spaces(tmp_path)[0].images == 9


def test_damaged_shard_is_counted_in_bytes_and_can_be_cleared(tmp_path):
    add(tmp_path, range(5))
    os.truncate(shards(tmp_path)[0], 100)

    (found,) = spaces(tmp_path)

    assert (found.images, found.size) == (0, 100)
    assert clear(tmp_path) == 100


def test_no_cache_has_no_spaces(tmp_path):
    assert spaces(tmp_path / "absent") == []
    assert clear(tmp_path / "absent") == 0


def test_clear_frees_what_info_counted(tmp_path):
    add(tmp_path, range(5))
    add(tmp_path, range(3), backbone="other")
    sizes = {item.backbone: item.size for item in spaces(tmp_path)}

    assert clear(tmp_path, "other") == sizes["other"]
    assert [item.backbone for item in spaces(tmp_path)] == ["tiny"]
    assert clear(tmp_path) == sizes["tiny"]
    assert spaces(tmp_path) == []
    assert have(tmp_path, range(5)) == []


def test_clear_leaves_what_was_written_lately(tmp_path):
    old, new = add(tmp_path, range(5)).folder, add(tmp_path, range(5), backbone="new").folder
    for path in [*old.glob("*.npy"), old]:
        os.utime(path, (time.time() - 40 * 86_400,) * 2)

    assert clear(tmp_path, older_than_days=60) == 0
    assert clear(tmp_path, older_than_days=30) > 0
    assert not old.exists() and new.exists()


def test_foreign_folders_are_neither_counted_nor_cleared(tmp_path):
    mine = tmp_path / "features" / "mine" / "notes"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("keep")

    assert spaces(tmp_path) == []
    clear(tmp_path)
    assert (mine / "notes.txt").read_text() == "keep"
