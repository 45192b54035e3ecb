"""Groups: connected components against unions by hand, from keys, links, pairs and the columns of the data."""

import numpy as np

from steelbench.data.groups import Pair, group_files, group_numbers, image_keys, pair_links
from steelbench.data.inspection import Inspected
from steelbench.data.samples import Sample


def groups_by_union(keys):
    """Join sets that share a key until none does; the textbook way."""
    sets = [({row}, set(own)) for row, own in enumerate(keys)]
    joined = True
    while joined:
        joined = False
        for a in range(len(sets)):
            for b in range(a + 1, len(sets)):
                if sets[a][1] & sets[b][1]:
                    rows, own = sets.pop(b)
                    sets[a] = (sets[a][0] | rows, sets[a][1] | own)
                    joined = True
                    break
            if joined:
                break
    found = [0] * len(keys)
    for number, (rows, _) in enumerate(sorted(sets, key=lambda item: min(item[0]))):
        for row in rows:
            found[row] = number
    return found


def test_group_numbers_are_those_of_a_brute_force_union():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        size, alphabet = int(rng.integers(1, 25)), int(rng.integers(2, 40))
        keys = [[f"k{k}" for k in rng.integers(0, alphabet, rng.integers(0, 4))] for _ in range(size)]
        links = rng.integers(0, size, (rng.integers(0, 6), 2))
        linked = [[*own, *(f"link {n}" for n, ends in enumerate(links) if row in ends)] for row, own in enumerate(keys)]

        assert group_numbers(keys).tolist() == groups_by_union(keys), f"seed {seed}"
        assert group_numbers(keys, links).tolist() == groups_by_union(linked), f"seed {seed}"


def test_group_numbers_follow_a_long_chain():
    keys = [[f"{k}", f"{k + 1}"] for k in range(5000)]

    assert set(group_numbers(keys).tolist()) == {0}
    assert set(group_numbers([[]] * 5000, np.arange(4999)[:, None] + [0, 1]).tolist()) == {0}
    assert group_numbers([[], [], []]).tolist() == [0, 1, 2]
    assert group_numbers([]).tolist() == []


def pair(a, b):
    return Pair(a, b, "near", 1.0, 0, 0, True)


def test_groups_of_files_follow_chains_and_are_numbered_by_name():
    assert group_files("ebcad", [pair("b", "c"), pair("c", "e")]) == {"a": 0, "b": 1, "c": 1, "d": 2, "e": 1}
    assert list(group_files("cab", [])) == ["a", "b", "c"]


def test_links_are_the_rows_of_the_files():
    assert pair_links(["x", "y", "z"], [pair("y", "z"), pair("x", "z")]).tolist() == [[1, 2], [0, 2]]
    assert pair_links(["x"], []).shape == (0, 2)


def test_equal_pixels_and_the_group_column_tie_images_and_an_empty_column_does_not():
    columns = [("p", ""), ("q", ""), ("p", ""), ("r", "coil 1"), ("s", "coil 1"), ("coil 1", "p")]
    images = [
        Inspected(Sample(f"{row}.png", "steel", "", group), "", pixels, 1, 1, 8, 0)
        for row, (pixels, group) in enumerate(columns)
    ]

    # The last image's digest and group read like another's group and digest, which ties nothing.
    assert group_numbers(image_keys(images)).tolist() == [0, 1, 0, 2, 2, 3]
