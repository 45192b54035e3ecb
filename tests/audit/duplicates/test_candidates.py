"""Candidate pairs in blocks: the same candidates whatever the size of a block, and memory that does not grow twice."""

import numpy as np
import pytest

from steelbench.audit.duplicates import candidates
from steelbench.audit.duplicates.candidates import find_candidates
from steelbench.audit.duplicates.keypoint_table import KeypointTable
from steelbench.audit.duplicates.keypoints import find_keypoints


def images(count):
    """Return `count` noise images, and after each a mirrored copy, a crop and a black image."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        image = rng.uniform(0, 255, (48, 64)).astype(np.float32)
        yield from (image, image[:, ::-1], image[5:, 7:], np.zeros((48, 64), np.float32))


@pytest.fixture(scope="module")
def found():
    """Return the keypoints of 80 images."""
    return [find_keypoints(np.ascontiguousarray(image)) for image in images(20)]


def test_a_table_holds_the_keypoints_of_each_image_in_order(found, monkeypatch):
    monkeypatch.setattr("steelbench.audit.duplicates.keypoint_table._FIRST_ROWS", 64)
    table = KeypointTable.of(iter(found))
    assert table.shapes == [own.shape for own in found]
    assert table.image.tolist() == [number for number, own in enumerate(found) for _ in own.places]
    for name in ("places", "turns", "scales", "descriptions"):
        np.testing.assert_array_equal(getattr(table, name), np.concatenate([getattr(own, name) for own in found]))


def test_a_table_without_a_keypoint_has_no_candidates():
    black = find_keypoints(np.zeros((48, 64), np.float32))
    assert not find_candidates(KeypointTable.of([])) and not find_candidates(KeypointTable.of([black, black]))


@pytest.mark.parametrize("block", [40, 1000])
def test_blocks_give_the_candidates_of_one_whole(found, monkeypatch, block):
    table = KeypointTable.of(found)
    whole = find_candidates(table)
    assert {(own.a, own.b) for own in whole} >= {(4 * n + i, 4 * n + j) for n in range(20) for i, j in ((0, 1), (0, 2))}
    monkeypatch.setattr(candidates, "_BLOCK", block)
    assert find_candidates(table) == whole


def test_of_too_many_candidates_those_with_most_votes_stay(found, monkeypatch):
    table = KeypointTable.of(found)
    whole = find_candidates(table)
    monkeypatch.setattr(candidates, "_PER_IMAGE", 0.1)
    monkeypatch.setattr(candidates, "_BLOCK", 40)
    few = find_candidates(table)
    assert len(few) <= 8
    assert [own.votes for own in few] == sorted((own.votes for own in whole), reverse=True)[: len(few)]


def test_more_images_than_17_bits_count_do_not_share_their_votes():
    # Two votes for one placement of image 131072 on image 0; one of image 0 on 1 and so on must not join them.
    a, b = np.array([0, 0, 1, 1]), np.array([131_073, 131_073, 1, 1])
    rows = candidates._count_votes(a, b, np.zeros(4, int), np.zeros((4, 2), int), np.zeros((4, 2), int))
    assert {tuple(row) for row in rows[:, [0, 1, 7]].tolist()} == {(0, 131_073, 2), (1, 1, 2)}
