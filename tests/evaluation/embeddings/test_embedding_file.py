"""The report reads from `embeddings.npz` the arrays that the run wrote, and no damaged file stops it."""

import io
import zipfile

import numpy as np
import pytest

from steelbench.evaluation.embeddings import embedding_file
from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.embedding_file import read_embeddings, write_embeddings
from steelbench.evaluation.embeddings.projection import project


def images(n=30):
    rng = np.random.default_rng(0)
    return Embedded(rng.standard_normal((n, 8)).astype(np.float32), np.arange(n) % 3, np.arange(n) // 2)


def test_the_file_holds_half_precision_vectors_and_the_map_of_just_these(tmp_path):
    write_embeddings(tmp_path, images(), with_projection=True)
    found, projection = read_embeddings(tmp_path)

    assert np.array_equal(found.vectors, images().vectors.astype(np.float16).astype(np.float32))
    assert np.array_equal(found.labels, images().labels) and np.array_equal(found.groups, images().groups)
    expected = project(found)
    assert np.array_equal(projection.points, expected.points) and np.array_equal(projection.rows, expected.rows)
    with np.load(tmp_path / "embeddings.npz") as arrays:
        types = {name: array.dtype for name, array in arrays.items()}
    assert types == {
        "vectors": np.float16,
        "labels": np.int64,
        "groups": np.int64,
        "projection": np.float32,
        "projected": np.int64,
    }


def test_without_a_projection_none_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_file, "project", lambda images: pytest.fail("computed"))
    write_embeddings(tmp_path, images(), with_projection=False)
    _, projection = read_embeddings(tmp_path)

    assert projection is None


def test_embeddings_that_are_all_the_same_are_written_without_a_map(tmp_path):
    same = images()
    write_embeddings(tmp_path, Embedded(np.ones_like(same.vectors), same.labels, same.groups), with_projection=True)
    found, projection = read_embeddings(tmp_path)

    assert projection is None and (found.vectors == 1).all()


DAMAGED = {
    "text": None,
    "pickle": {"vectors": np.array([{}], object)},
    "nan": {"vectors": np.full((30, 8), np.nan)},
    "lengths": {"vectors": np.ones((29, 8))},
    "one number": {"vectors": np.float32(1)},
    "labels without a shape": {"labels": np.int64(1)},
    "no columns": {"vectors": np.zeros((30, 0))},
    "labels of two dimensions": {"labels": np.zeros((30, 2), int)},
    "beyond float32": {"vectors": np.full((30, 8), 1e300)},
    "text for numbers": {"labels": np.array(["a"] * 30)},
    "two images": {"vectors": np.eye(2), "labels": np.arange(2), "groups": np.arange(2)},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_none(tmp_path, damage):
    arrays = DAMAGED[damage]
    if arrays is None:
        (tmp_path / "embeddings.npz").write_text("no arrays")
    else:
        np.savez(tmp_path / "embeddings.npz", **(vars(images()) | arrays))

    assert read_embeddings(tmp_path) is None


def test_a_file_that_declares_a_million_million_numbers_is_none_at_once(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f2", "fortran_order": False, "shape": (10**9, 1000)})
    with zipfile.ZipFile(tmp_path / "embeddings.npz", "w") as archive:
        archive.writestr("vectors.npy", header.getvalue())

    assert read_embeddings(tmp_path) is None


def test_a_missing_file_is_none(tmp_path):
    assert read_embeddings(tmp_path) is None


@pytest.mark.parametrize(
    ("points", "rows"),
    [
        (np.zeros((2, 2)), [0, 30]),
        (np.zeros((2, 2)), [-1, 0]),
        (np.zeros((2, 3)), [0, 1]),
        (np.zeros((2, 2)), [0, 1, 2]),
        (np.full((2, 2), np.inf), [0, 1]),
        (np.zeros(2), 0),
        (None, [0, 1]),
        (np.zeros((2, 2)), None),
    ],
    ids=["beyond", "negative", "three numbers", "lengths", "infinity", "no list", "no points", "no rows"],
)
def test_a_damaged_map_is_left_out_and_the_embeddings_stay(tmp_path, points, rows):
    arrays = {"projection": points, "projected": rows}
    given = {name: array for name, array in arrays.items() if array is not None}
    np.savez(tmp_path / "embeddings.npz", **vars(images()), **given)
    found, projection = read_embeddings(tmp_path)

    assert projection is None and np.array_equal(found.vectors, images().vectors)
