"""Images to label first: the order against loops, one of each group, and files that come back as they were."""

import numpy as np
import pytest

from steelbench.evaluation.label_first import (
    MOST,
    Candidate,
    choose,
    read_candidates,
    read_label_first,
    write_candidates,
    write_label_first,
)
from steelbench.evaluation.label_ranking import distances_from, rank_candidates

CLASSES = ["dent", "rust", "scratch"]
PROBABILITIES = np.array([[0.9, 0.06, 0.04], [0.4, 0.35, 0.25], [0.98, 0.01, 0.01], [0.5, 0.49, 0.01]], np.float32)
DISTANCES = np.array([0.9, 0.2, 0.05, 0.8])
FAMILIAR = np.linspace(0, 0.7, 8)


def ranked(groups=(1, 2, 3, 4)):
    return rank_candidates(["a", "b", "c", "d"], groups, PROBABILITIES, DISTANCES, FAMILIAR, CLASSES)


def test_the_least_sure_and_least_familiar_image_comes_first():
    # Ranks by doubt and by distance: a 2 + 4, b 4 + 2, c 1 + 1, d 3 + 3; equal sums keep their order.
    found = ranked()

    assert [own.path for own in found][-1] == "c" and {own.path for own in found[:3]} == {"a", "b", "d"}
    first = {own.path: own for own in found}["d"]
    assert (first.predicted, first.second) == ("dent", "rust")
    assert first.probability == pytest.approx(0.5) and first.unfamiliar == 1.0
    assert first.reason == "between dent and rust; unlike the training images"
    assert {own.path: own for own in found}["c"].unfamiliar == pytest.approx(1 / 8)


def test_no_two_images_of_one_group_are_chosen_and_the_list_ends():
    chosen = choose(ranked(groups=(1, 1, 2, 1)))
    many = [Candidate(str(number), "dent", 0.5, "rust", 0.4, 0.1, number) for number in range(MOST + 50)]

    assert len(chosen) == 2 and chosen[-1].path == "c"
    assert [own.path for own in choose(many)] == [str(number) for number in range(MOST)]


def test_distances_are_those_of_the_tenth_nearest_training_image():
    random = np.random.default_rng(0)
    train, others = random.normal(size=(30, 4)).astype(np.float32), random.normal(size=(5, 4)).astype(np.float32)
    (found,) = distances_from(train, others)

    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (train, others)]
    expected = [sorted(np.linalg.norm(unit[0] - row, axis=1))[9] for row in unit[1]]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_files_come_back_as_they_were_with_any_name(tmp_path):
    name = 'a, "quoted"\n<b>.png'
    candidates = [Candidate(name, "dent", 0.5, "rust", 0.25, 0.75, 7)]
    write_candidates(tmp_path / "c.csv", candidates)
    write_label_first(tmp_path / "l.csv", choose(candidates))

    assert read_candidates(tmp_path / "c.csv") == candidates
    assert read_label_first(tmp_path / "l.csv") == choose(candidates)


@pytest.mark.parametrize(
    "text", ["", "path\nx\n", "path,predicted,probability,unfamiliar,reason\na,b,nan,0,c\n", "\xff"]
)
def test_a_damaged_list_is_none_or_empty(tmp_path, text):
    path = tmp_path / "l.csv"
    path.write_bytes(text.encode("latin-1"))

    assert not read_label_first(path)
    assert read_candidates(tmp_path / "missing.csv") is None


def test_no_images_are_no_candidates():
    assert rank_candidates([], [], np.empty((0, 3), np.float32), np.empty(0), FAMILIAR, CLASSES) == []


def test_names_that_a_spreadsheet_would_compute_are_text_and_come_back(tmp_path):
    names = ["=cmd().png", "a\rb.png", "plain.png"]
    given = [Candidate(name, "pits", 0.5, "scratches", 0.25, 0.75, group) for group, name in enumerate(names)]

    write_candidates(tmp_path / "candidates.csv", given)

    assert "\n'=cmd().png," in (tmp_path / "candidates.csv").read_bytes().decode()
    assert [own.path for own in read_candidates(tmp_path / "candidates.csv")] == names
